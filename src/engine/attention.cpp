#include "engine/attention.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/aligned_vector.hpp"
#include "engine/attention_parts.hpp"
#include "engine/kernel_loops.hpp"
#include "engine/lanes.hpp"
#include "engine/team.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;

constexpr int64_t kPositions = KvBlocks::kPositions;
/// Queries are taken in blocks of this many positions, cut at its multiples. A block reads keys up
/// to the step of its last query, those behind a query masked.
constexpr int64_t kQueryPositions = 64;
static_assert(kPositions % kQueryPositions == 0);

/// Turns scores [rows][extent], one row every `stride`, into probabilities: row i sees
/// `first_visible` + i / group keys.
template <typename T, typename C>
PRUNE_SWEEP_INLINE void softmax_rows(
    float* scores,
    int64_t rows,
    int64_t group,
    int64_t first_visible,
    int64_t extent,
    int64_t stride,
    float scale,
    C* probabilities) {
  for (int64_t row = 0; row < rows; ++row, scores += stride, probabilities += stride) {
    const int64_t visible = first_visible + row / group;
    const float top = max(largest_scores(scores, visible, scale, Lanes{} + kLowestScore));
    const float norm = 1.0F / sum(powers_of_scores(scores, visible, scale, top, Lanes{}));
    store_probabilities<T>(scores, visible, norm, extent, probabilities);
  }
}
PRUNE_SWEEP_CLONES void softmax_of(
    float,
    float* scores,
    int64_t rows,
    int64_t group,
    int64_t first_visible,
    int64_t extent,
    int64_t stride,
    float scale,
    float* probabilities) {
  softmax_rows<float>(scores, rows, group, first_visible, extent, stride, scale, probabilities);
}
PRUNE_SWEEP_CLONES void softmax_of(
    BFloat16,
    float* scores,
    int64_t rows,
    int64_t group,
    int64_t first_visible,
    int64_t extent,
    int64_t stride,
    float scale,
    float* probabilities) {
  softmax_rows<BFloat16>(scores, rows, group, first_visible, extent, stride, scale, probabilities);
}
PRUNE_SWEEP_CLONES void softmax_of(
    BFloat16,
    float* scores,
    int64_t rows,
    int64_t group,
    int64_t first_visible,
    int64_t extent,
    int64_t stride,
    float scale,
    BFloat16* probabilities) {
  softmax_rows<BFloat16>(scores, rows, group, first_visible, extent, stride, scale, probabilities);
}

/// attend_packed for one element type, cut into tasks: one block of queries x one key-value head.
template <typename T, typename C>
class PackedAttention {
 public:
  PackedAttention(
      const at::Tensor& q,
      const std::vector<QueryRun>& queries,
      const KvBlocks& kv,
      const KvLayout& layout,
      at::Tensor& out)
      : q_(q.const_data_ptr<T>()),
        kv_(kv),
        layout_(layout),
        out_(out.data_ptr<T>()),
        group_(q.size(1) / kv.kv_heads()),
        head_dim_(q.size(2)) {
    for (const QueryRun& run : queries) cut(run);
  }

  // Heads outermost: a contiguous share of the tasks has short and long rows in like proportion.
  int64_t num_tasks() const { return kv_.kv_heads() * std::ssize(cuts_); }
  /// Multiplications and additions of all tasks, about.
  int64_t flops() const { return 4 * pairs_ * head_dim_ * group_ * kv_.kv_heads(); }

  void run(TaskCounter& counter) {
    for (int64_t task = 0; counter.take(task);) {
      attend(task / std::ssize(cuts_), cuts_[static_cast<size_t>(task % std::ssize(cuts_))]);
    }
    tiles::release(kv_.arithmetic());
  }

 private:
  void cut(QueryRun run) {
    while (run.count > 0) {
      const int64_t end = (run.first_position / kQueryPositions + 1) * kQueryPositions;
      QueryRun part = run;
      part.count = std::min(run.count, end - run.first_position);
      cuts_.push_back(part);
      pairs_ += part.count * (part.first_position + part.count);
      run.first_position += part.count;
      run.first_row += part.count;
      run.count -= part.count;
    }
  }

  void attend(int64_t kv_head, const QueryRun& cut) {
    const int64_t rows = cut.count * group_;
    const int64_t padded = tiles::padded_rows(rows);
    const int64_t extent = KvBlocks::steps_up(cut.first_position + cut.count);
    const int64_t num_blocks = KvBlocks::num_blocks(extent);
    // Whole blocks apart, so that few shapes of products occur.
    const int64_t stride = num_blocks * kPositions;
    gather(kv_head, cut, padded);

    scores_.resize(static_cast<size_t>(padded * stride));
    for (int64_t i = 0; i < num_blocks; ++i) {
      const KvBlocks::Block block = layout_.block_of(cut.run, i);
      tiles::multiply(
          {{padded, std::min(kPositions, extent - i * kPositions), head_dim_},
           {queries_.data(), head_dim_},
           {kv_.keys(kv_head, block), block.count},
           {scores_.data() + i * kPositions, stride},
           tiles::Into::kReplace});
    }
    probabilities_.resize(static_cast<size_t>(padded * stride));
    softmax_of(
        T{},
        scores_.data(),
        rows,
        group_,
        cut.first_position + 1,
        extent,
        stride,
        score_scale(head_dim_),
        probabilities_.data());
    std::fill(probabilities_.data() + rows * stride, probabilities_.data() + padded * stride, C(0));

    sums_.resize(static_cast<size_t>(padded * head_dim_));
    for (int64_t i = 0; i < num_blocks; ++i) {
      tiles::multiply(
          {{padded, head_dim_, std::min(kPositions, extent - i * kPositions)},
           {probabilities_.data() + i * kPositions, stride},
           {kv_.values(kv_head, layout_.block_of(cut.run, i)), head_dim_},
           {sums_.data(), head_dim_},
           i == 0 ? tiles::Into::kReplace : tiles::Into::kAdd});
    }
    scatter(kv_head, cut);
  }

  /// The head's queries, one below the other: those of a row's group together.
  void gather(int64_t kv_head, const QueryRun& cut, int64_t padded) {
    const int64_t size = group_ * head_dim_;
    const int64_t row_size = size * kv_.kv_heads();
    queries_.resize(static_cast<size_t>(padded * head_dim_));
    for (int64_t i = 0; i < cut.count; ++i) {
      const T* from = q_ + (cut.first_row + i) * row_size + kv_head * size;
      std::copy(from, from + size, queries_.begin() + i * size);
    }
    std::fill(queries_.begin() + cut.count * size, queries_.end(), C(0));
  }

  void scatter(int64_t kv_head, const QueryRun& cut) {
    const int64_t size = group_ * head_dim_;
    const int64_t row_size = size * kv_.kv_heads();
    for (int64_t i = 0; i < cut.count; ++i) {
      const float* from = sums_.data() + i * size;
      T* to = out_ + (cut.first_row + i) * row_size + kv_head * size;
      round_to(from, size, to);
    }
  }

  const T* q_;
  const KvBlocks& kv_;
  const KvLayout& layout_;
  T* out_;  // [rows, heads * head_dim]
  int64_t group_;
  int64_t head_dim_;
  std::vector<QueryRun> cuts_;
  int64_t pairs_ = 0;
  AlignedVector<C> queries_;        // [padded][head_dim]
  AlignedVector<float> scores_;     // [padded][stride]
  AlignedVector<C> probabilities_;  // [padded][stride]
  AlignedVector<float> sums_;       // [padded][head_dim]
};

}  // namespace

at::Tensor attend_packed(
    const at::Tensor& q,
    const std::vector<QueryRun>& queries,
    const KvBlocks& kv,
    const KvLayout& layout) {
  at::Tensor out = at::empty({q.size(0), q.size(1) * q.size(2)}, q.options());
  with_tile_types(q.scalar_type(), kv.arithmetic(), [&](auto stored, auto multiplied) {
    const PackedAttention<decltype(stored), decltype(multiplied)> attention(
        q, queries, kv, layout, out);
    const int64_t grain = parallel_grain(attention.num_tasks(), attention.flops());
    share_tasks(attention.num_tasks(), grain, [&](TaskCounter& counter) {
      auto mine = attention;
      mine.run(counter);
    });
  });
  return out;
}

}  // namespace prune_sweep
