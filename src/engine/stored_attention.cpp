#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "engine/attention.hpp"
#include "engine/attention_parts.hpp"
#include "engine/kernel_loops.hpp"
#include "engine/lanes.hpp"
#include "engine/team.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;

constexpr int64_t kPositions = KvLayout::kPositions;
/// Rows of a product at most: bounds what is held of scores.
constexpr int64_t kMaxRows = 256;

/// scores[g][key] = q[g] * k[key] for the query heads of a group.
template <typename T>
PRUNE_SWEEP_INLINE void score_own(
    const T* q,
    const T* k,
    int64_t num_keys,
    int64_t group,
    int64_t head_dim,
    float* scores,
    int64_t score_stride) {
  for (int64_t key = 0; key < num_keys; ++key, k += head_dim) {
    for (int64_t g = 0; g < group; ++g) {
      Lanes products{};
      for (int64_t i = 0; i < head_dim; i += kLanes) {
        products += load(q + g * head_dim + i, head_dim - i) * load(k + i, head_dim - i);
      }
      scores[g * score_stride + key] = sum(products);
    }
  }
}

/// sums[g] += probabilities[g][key] * v[key].
template <typename T>
PRUNE_SWEEP_INLINE void add_own(
    const float* probabilities,
    int64_t stride,
    const T* v,
    int64_t num_keys,
    int64_t group,
    int64_t head_dim,
    float* sums) {
  for (int64_t i = 0; i < head_dim; i += kLanes) {
    for (int64_t g = 0; g < group; ++g) {
      Lanes total = load(sums + g * head_dim + i, head_dim - i);
      for (int64_t key = 0; key < num_keys; ++key) {
        total += load(v + key * head_dim + i, head_dim - i) * probabilities[g * stride + key];
      }
      store(sums + g * head_dim + i, total, head_dim - i);
    }
  }
}

/// Scores to probabilities: those of the prompt's keys as a left-hand side, zeros behind them;
/// those of the own keys stay where they are, behind the prompt's.
template <typename T, typename C>
PRUNE_SWEEP_INLINE void softmax_stored_row(
    float* scores, int64_t prompt_len, int64_t num_own, int64_t extent, float scale, C* prompt) {
  softmax_row(scores, prompt_len + num_own, scale);
  for (int64_t i = 0; i < extent; i += kLanes) {
    const Lanes values = first_lanes(prompt_len - i) ? load(scores + i) : Lanes{};
    store(prompt + i, rounded_to<T>(values));
  }
}

#define PRUNE_SWEEP_STORED_LOOPS(T, C)                                         \
  PRUNE_SWEEP_CLONES void score_own_of(                                        \
      C,                                                                       \
      const T* q,                                                              \
      const T* k,                                                              \
      int64_t num_keys,                                                        \
      int64_t group,                                                           \
      int64_t head_dim,                                                        \
      float* scores,                                                           \
      int64_t score_stride) {                                                  \
    score_own(q, k, num_keys, group, head_dim, scores, score_stride);          \
  }                                                                            \
  PRUNE_SWEEP_CLONES void add_own_of(                                          \
      C,                                                                       \
      const float* probabilities,                                              \
      int64_t stride,                                                          \
      const T* v,                                                              \
      int64_t num_keys,                                                        \
      int64_t group,                                                           \
      int64_t head_dim,                                                        \
      float* sums) {                                                           \
    add_own(probabilities, stride, v, num_keys, group, head_dim, sums);        \
  }                                                                            \
  PRUNE_SWEEP_CLONES void softmax_stored(                                      \
      T,                                                                       \
      float* scores,                                                           \
      int64_t prompt_len,                                                      \
      int64_t num_own,                                                         \
      int64_t extent,                                                          \
      float scale,                                                             \
      C* prompt) {                                                             \
    softmax_stored_row<T>(scores, prompt_len, num_own, extent, scale, prompt); \
  }
PRUNE_SWEEP_STORED_LOOPS(float, float)
PRUNE_SWEEP_STORED_LOOPS(BFloat16, float)
PRUNE_SWEEP_STORED_LOOPS(BFloat16, BFloat16)
#undef PRUNE_SWEEP_STORED_LOOPS

/// Rows that read one stream's prompts, by prompt.
using RowsOfStream = std::vector<int64_t>;  // indices, ascending in run

std::vector<RowsOfStream> by_stream(const std::vector<StoredRow>& rows) {
  std::map<const StreamKv*, size_t> known;
  std::vector<RowsOfStream> streams;
  for (int64_t i = 0; i < std::ssize(rows); ++i) {
    const auto [entry, is_new] = known.emplace(rows[static_cast<size_t>(i)].prompt, streams.size());
    if (is_new) streams.emplace_back();
    streams[entry->second].push_back(i);
  }
  std::vector<RowsOfStream> parts;
  for (RowsOfStream& stream : streams) {
    std::stable_sort(stream.begin(), stream.end(), [&](int64_t a, int64_t b) {
      return rows[static_cast<size_t>(a)].run < rows[static_cast<size_t>(b)].run;
    });
    for (size_t first = 0; first < stream.size(); first += kMaxRows) {
      const size_t end = std::min(stream.size(), first + static_cast<size_t>(kMaxRows));
      parts.emplace_back(
          stream.begin() + static_cast<std::ptrdiff_t>(first),
          stream.begin() + static_cast<std::ptrdiff_t>(end));
    }
  }
  return parts;
}

/// The rows of one stream and one key-value head.
template <typename T, typename C>
class StoredAttention {
 public:
  StoredAttention(
      const at::Tensor& q,
      const std::vector<StoredRow>& rows,
      const KvLayout& layout,
      at::Tensor& out)
      : q_(q.const_data_ptr<T>()),
        rows_(rows),
        layout_(layout),
        out_(out.data_ptr<T>()),
        heads_(q.size(1)),
        head_dim_(q.size(2)) {}

  void attend(const RowsOfStream& rows, int64_t kv_head) {
    kv_ = rows_[static_cast<size_t>(rows.front())].prompt;
    kv_head_ = kv_head;
    group_ = heads_ / kv_->kv_heads();
    measure(rows);
    gather(rows);
    for_prompt_blocks(rows, [&](const Readers& readers) { score_block(readers); });
    for (int64_t i = 0; i < std::ssize(rows); ++i) score_and_softmax(rows, i);
    std::fill(sums_.begin(), sums_.end(), 0.0F);
    for_prompt_blocks(rows, [&](const Readers& readers) { add_block(readers); });
    for (int64_t i = 0; i < std::ssize(rows); ++i) finish_row(rows, i);
  }

 private:
  const StoredRow& row_at(const RowsOfStream& rows, int64_t i) const {
    return rows_[static_cast<size_t>(rows[static_cast<size_t>(i)])];
  }

  void measure(const RowsOfStream& rows) {
    extent_ = layout_.num_shared_blocks() * kPositions;
    int64_t most_own = 0;
    for (int64_t i = 0; i < std::ssize(rows); ++i) {
      const StoredRow& row = row_at(rows, i);
      extent_ = std::max(extent_, KvLayout::num_blocks(row.prompt_len) * kPositions);
      most_own = std::max(most_own, row.num_own);
    }
    // Whole blocks, so that few shapes of products occur while texts grow.
    stride_ = extent_ + KvLayout::num_blocks(most_own + kLanes) * kPositions;
    // Products may write a few rows more than there are.
    const int64_t room = std::ssize(rows) * group_ + 16;
    queries_.assign(static_cast<size_t>(room * head_dim_), C(0));
    scores_.resize(static_cast<size_t>(room * stride_));
    probabilities_.resize(static_cast<size_t>(room * extent_));
    sums_.resize(static_cast<size_t>(room * head_dim_));
  }

  void gather(const RowsOfStream& rows) {
    const int64_t size = group_ * head_dim_;
    for (int64_t i = 0; i < std::ssize(rows); ++i) {
      const T* from = q_ + rows[static_cast<size_t>(i)] * heads_ * head_dim_ + kv_head_ * size;
      std::copy(from, from + size, queries_.begin() + i * size);
    }
  }

  /// Rows that read a block together: those from `first` on.
  struct Readers {
    int64_t first;
    int64_t count;
    int64_t index;  ///< of the block among their prompt's
    KvLayout::Block block;
  };

  /// Calls f(readers) in the order of blocks: for all rows together as long as they share blocks,
  /// then for those of each prompt.
  template <typename F>
  void for_prompt_blocks(const RowsOfStream& rows, F f) const {
    const int64_t num_shared = layout_.num_shared_blocks();
    for (int64_t i = 0; i < num_shared; ++i) {
      f(Readers{0, std::ssize(rows), i, layout_.block_of(0, i)});
    }
    for (int64_t first = 0; first < std::ssize(rows);) {
      const StoredRow& row = row_at(rows, first);
      int64_t end = first;
      while (end < std::ssize(rows) && row_at(rows, end).run == row.run) ++end;
      for (int64_t i = num_shared; i < KvLayout::num_blocks(row.prompt_len); ++i) {
        f(Readers{first, end - first, i, layout_.block_of(row.run, i)});
      }
      first = end;
    }
  }

  /// Rows of the products of all rows are rounded up, what they write behind them is not used;
  /// behind the rows of one prompt are others.
  int64_t product_rows(const Readers& readers) const {
    const int64_t rows = readers.count * group_;
    return readers.index < layout_.num_shared_blocks() ? padded_rows(rows) : rows;
  }

  void score_block(const Readers& readers) {
    tiles::multiply(
        product_rows(readers),
        readers.block.count,
        head_dim_,
        queries_.data() + readers.first * group_ * head_dim_,
        head_dim_,
        kv_->keys(kv_head_, readers.block),
        readers.block.count,
        scores_.data() + readers.first * group_ * stride_ + readers.index * kPositions,
        stride_,
        tiles::Into::kReplace);
  }

  void score_and_softmax(const RowsOfStream& rows, int64_t i) {
    const StoredRow& row = row_at(rows, i);
    float* scores = scores_.data() + i * group_ * stride_;
    score_own_of(
        C{},
        q_ + (rows[static_cast<size_t>(i)] * heads_ + kv_head_ * group_) * head_dim_,
        own(row.own_k, row),
        row.num_own,
        group_,
        head_dim_,
        scores + row.prompt_len,
        stride_);
    for (int64_t g = 0; g < group_; ++g) {
      softmax_stored(
          T{},
          scores + g * stride_,
          row.prompt_len,
          row.num_own,
          extent_,
          score_scale(head_dim_),
          probabilities_.data() + (i * group_ + g) * extent_);
    }
  }

  void add_block(const Readers& readers) {
    tiles::multiply(
        product_rows(readers),
        head_dim_,
        readers.block.count,
        probabilities_.data() + readers.first * group_ * extent_ + readers.index * kPositions,
        extent_,
        kv_->values(kv_head_, readers.block),
        head_dim_,
        sums_.data() + readers.first * group_ * head_dim_,
        head_dim_,
        tiles::Into::kAdd);
  }

  void finish_row(const RowsOfStream& rows, int64_t i) {
    const StoredRow& row = row_at(rows, i);
    float* sums = sums_.data() + i * group_ * head_dim_;
    add_own_of(
        C{},
        scores_.data() + i * group_ * stride_ + row.prompt_len,
        stride_,
        own(row.own_v, row),
        row.num_own,
        group_,
        head_dim_,
        sums);
    T* to = out_ + (rows[static_cast<size_t>(i)] * heads_ + kv_head_ * group_) * head_dim_;
    round_to(sums, group_ * head_dim_, to);
  }

  const T* own(const at::Tensor* from, const StoredRow& row) const {
    return from->const_data_ptr<T>() + row.slot * from->stride(0) + kv_head_ * from->stride(1);
  }

  const T* q_;
  const std::vector<StoredRow>& rows_;
  const KvLayout& layout_;
  T* out_;
  int64_t heads_;
  int64_t head_dim_;
  const StreamKv* kv_ = nullptr;
  int64_t kv_head_ = 0;
  int64_t group_ = 1;
  int64_t extent_ = 0;            ///< positions of the longest prompt, in whole blocks
  int64_t stride_ = 0;            ///< of a row of scores
  std::vector<C> queries_;        // [rows * group][head_dim]
  std::vector<float> scores_;     // [rows * group][stride]
  std::vector<C> probabilities_;  // [rows * group][extent]
  std::vector<float> sums_;       // [rows * group][head_dim]
};

}  // namespace

at::Tensor attend_stored(
    const at::Tensor& q, const std::vector<StoredRow>& rows, const KvLayout& layout) {
  const StreamKv& kv = *rows.front().prompt;
  at::Tensor out = at::empty({q.size(0), q.size(1) * q.size(2)}, q.options());
  const std::vector<RowsOfStream> streams = by_stream(rows);
  int64_t keys = 0;
  for (const StoredRow& row : rows) keys += row.prompt_len + row.num_own;
  const int64_t num_tasks = std::ssize(streams) * kv.kv_heads();
  const int64_t grain = parallel_grain(num_tasks, 4 * keys * q.size(1) * q.size(2));
  with_tile_types(q.scalar_type(), kv.arithmetic(), [&](auto stored, auto multiplied) {
    share_tasks(num_tasks, grain, [&](TaskCounter& counter) {
      StoredAttention<decltype(stored), decltype(multiplied)> attention(q, rows, layout, out);
      for (int64_t task = 0; counter.take(task);) {
        attention.attend(
            streams[static_cast<size_t>(task % std::ssize(streams))], task / std::ssize(streams));
      }
      tiles::release(kv.arithmetic());
    });
  });
  return out;
}

}  // namespace prune_sweep
