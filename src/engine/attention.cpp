#include "engine/attention.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstring>

#include "engine/attention_parts.hpp"
#include "engine/lanes.hpp"
#include "engine/rows.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;

/// Queries are taken in blocks of this many positions, cut at its multiples whatever the rows at
/// hand; a block reads keys up to its end, those behind a query masked.
constexpr int64_t kPositionBlock = 128;

/// softmax_row for the rows of one block: row i sees `first_visible` + i / group keys.
template <typename T>
PRUNE_SWEEP_INLINE void softmax_rows(
    T* scores,
    int64_t rows,
    int64_t group,
    int64_t first_visible,
    int64_t extent,
    float scale,
    float* scratch) {
  for (int64_t i = 0; i < rows; ++i) {
    softmax_row(scores + i * extent, first_visible + i / group, extent, scale, scratch);
  }
}
PRUNE_SWEEP_CLONES void softmax_of(
    float* scores,
    int64_t rows,
    int64_t group,
    int64_t first_visible,
    int64_t extent,
    float scale,
    float* scratch) {
  softmax_rows(scores, rows, group, first_visible, extent, scale, scratch);
}
PRUNE_SWEEP_CLONES void softmax_of(
    BFloat16* scores,
    int64_t rows,
    int64_t group,
    int64_t first_visible,
    int64_t extent,
    float scale,
    float* scratch) {
  softmax_rows(scores, rows, group, first_visible, extent, scale, scratch);
}

/// attend_packed for one element type, cut into tasks: one run of rows x one key-value head.
template <typename T>
class PackedAttention {
 public:
  PackedAttention(const Qkv& qkv, const PackedRows& packed, at::Tensor& out)
      : qkv_(qkv),
        packed_(packed),
        out_(out.data_ptr<T>()),
        num_runs_(static_cast<int64_t>(packed.sequences.size()) + (packed.prefix_len > 0 ? 1 : 0)),
        num_streams_(qkv.q.size(0) / packed.num_rows()),
        kv_heads_(qkv.k.size(1)),
        group_(qkv.q.size(1) / kv_heads_),
        head_dim_(qkv.q.size(2)) {}

  /// Multiplications and additions of all tasks, about.
  int64_t flops() const {
    int64_t pairs = packed_.prefix_len * packed_.prefix_len;
    for (const PackedRows::Run& run : packed_.sequences) {
      pairs += run.num_rows * (packed_.prefix_len + run.num_rows);
    }
    return 4 * pairs * head_dim_ * group_ * kv_heads_ * num_streams_;
  }

  // Heads outermost: a contiguous share of the tasks has short and long runs in like proportion.
  int64_t num_tasks() const { return kv_heads_ * num_streams_ * num_runs_; }

  void run(int64_t task) {
    const int64_t index = task % num_runs_;
    const int64_t stream = task / num_runs_ % num_streams_;
    const bool is_prefix = index == static_cast<int64_t>(packed_.sequences.size());
    const PackedRows::Run run = is_prefix ? PackedRows::Run{0, packed_.prefix_len}
                                          : packed_.sequences[static_cast<size_t>(index)];
    kv_head_ = task / num_runs_ / num_streams_;
    first_of_stream_ = stream * packed_.num_rows();
    attend(run, is_prefix ? 0 : packed_.prefix_len);
  }

 private:
  /// One head of the prefix and of the run, one below the other, zeros up to `extent` rows.
  at::Tensor gather(
      const at::Tensor& from, PackedRows::Run run, int64_t base, int64_t extent) const {
    at::Tensor to = at::empty({extent, head_dim_}, from.options());
    T* next = to.data_ptr<T>();
    const auto copy = [&](int64_t first_row, int64_t count) {
      const T* row = from.const_data_ptr<T>() +
                     ((first_of_stream_ + first_row) * kv_heads_ + kv_head_) * head_dim_;
      for (int64_t i = 0; i < count; ++i, row += kv_heads_ * head_dim_, next += head_dim_) {
        std::memcpy(next, row, sizeof(T) * static_cast<size_t>(head_dim_));
      }
    };
    copy(0, base);
    copy(run.first_row, run.num_rows);
    std::fill(next, to.data_ptr<T>() + extent * head_dim_, T(0));
    return to;
  }

  void attend(PackedRows::Run run, int64_t base) {
    const int64_t end = base + run.num_rows;
    const int64_t whole_extent = (end + kPositionBlock - 1) / kPositionBlock * kPositionBlock;
    const at::Tensor keys = gather(qkv_.k, run, base, whole_extent);
    const at::Tensor values = gather(qkv_.v, run, base, whole_extent);
    scratch_.resize(static_cast<size_t>(whole_extent));
    for (int64_t position = base; position < end;) {
      const int64_t extent = (position / kPositionBlock + 1) * kPositionBlock;
      const int64_t count = std::min(end, extent) - position;
      attend_block(
          first_of_stream_ + run.first_row + position - base,
          count,
          position,
          keys.narrow(0, 0, extent),
          values.narrow(0, 0, extent));
      position += count;
    }
  }

  void attend_block(
      int64_t first_row,
      int64_t count,
      int64_t position,
      const at::Tensor& keys,      // [extent, head_dim]
      const at::Tensor& values) {  // [extent, head_dim]
    const int64_t rows = count * group_;
    const int64_t padded = std::max(rows, min_gemm_rows(head_dim_, kPositionBlock));
    const int64_t row_elements = group_ * head_dim_;
    const size_t row_bytes = sizeof(T) * static_cast<size_t>(row_elements);
    const int64_t stride = kv_heads_ * row_elements;
    const int64_t offset = first_row * stride + kv_head_ * row_elements;

    at::Tensor queries = at::empty({padded, head_dim_}, keys.options());
    const T* q = qkv_.q.const_data_ptr<T>() + offset;
    T* packed_q = queries.data_ptr<T>();
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(packed_q + i * row_elements, q + i * stride, row_bytes);
    }
    std::fill(packed_q + rows * head_dim_, packed_q + padded * head_dim_, T(0));

    const at::Tensor scores = at::mm(queries, keys.t());  // [padded, extent]
    softmax_of(
        scores.data_ptr<T>(),
        rows,
        group_,
        position + 1,
        keys.size(0),
        score_scale(head_dim_),
        scratch_.data());
    const at::Tensor result = at::mm(scores, values);  // [padded, head_dim]

    const T* attended = result.const_data_ptr<T>();
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(out_ + offset + i * stride, attended + i * row_elements, row_bytes);
    }
  }

  const Qkv& qkv_;
  const PackedRows& packed_;
  T* out_;  // [rows, heads * head_dim]
  int64_t num_runs_;
  int64_t num_streams_;
  int64_t kv_heads_;
  int64_t group_;
  int64_t head_dim_;
  int64_t kv_head_ = 0;
  int64_t first_of_stream_ = 0;
  std::vector<float> scratch_;
};

}  // namespace

at::Tensor attend_packed(const Qkv& qkv, const PackedRows& packed) {
  if (!qkv.q.is_cpu()) return plain::attend_packed(qkv, packed);
  at::Tensor out = at::empty({qkv.q.size(0), qkv.q.size(1) * qkv.q.size(2)}, qkv.q.options());
  with_element_type(qkv.q, [&](auto zero) {
    const PackedAttention<decltype(zero)> attention(qkv, packed, out);
    const int64_t grain = parallel_grain(attention.num_tasks(), attention.flops());
    at::parallel_for(0, attention.num_tasks(), grain, [&](int64_t begin, int64_t end) {
      // parallel_for hands no thread-local state on.
      const c10::InferenceMode inference;
      auto mine = attention;
      for (int64_t task = begin; task < end; ++task) mine.run(task);
    });
  });
  return out;
}

}  // namespace prune_sweep
