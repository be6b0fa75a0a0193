#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "engine/attention.hpp"
#include "engine/attention_parts.hpp"
#include "engine/lanes.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;

/// A KvSpan of one key-value head.
template <typename T>
struct HeadSpan {
  const T* k;
  const T* v;
  int64_t num_rows;
};
template <typename T>
using HeadSpans = std::array<HeadSpan<T>, std::tuple_size_v<KvSpans>>;

/// The query heads of one row that share a key-value head. `scratch` holds scratch_size() floats.
template <typename T>
PRUNE_SWEEP_INLINE void attend_head(
    const T* q,  // [group, head_dim]
    const HeadSpans<T>& spans,
    int64_t num_keys,
    int64_t group,
    int64_t head_dim,
    int64_t kv_stride,
    float scale,
    float* scratch,
    T* out) {  // [group, head_dim]
  const int64_t width = lanes_up(head_dim);
  const int64_t score_width = lanes_up(num_keys);
  float* query = scratch;                // [group, width]
  float* total = query + group * width;  // [group, width]
  float* row = total + group * width;    // [width]
  float* scores = row + width;           // [group, score_width]
  for (int64_t g = 0; g < group; ++g) {
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      store(query + g * width + i, load(q + g * head_dim + i, head_dim - i) * scale);
      store(total + g * width + i, Lanes{});
    }
  }

  int64_t key = 0;
  for (const HeadSpan<T>& span : spans) {
    const T* k = span.k;
    for (int64_t j = 0; j < span.num_rows; ++j, ++key, k += kv_stride) {
      for (int64_t i = 0; i < head_dim; i += kLanes) store(row + i, load(k + i, head_dim - i));
      for (int64_t g = 0; g < group; ++g) {
        Lanes products{};
        for (int64_t i = 0; i < width; i += kLanes) {
          products += load(query + g * width + i) * load(row + i);
        }
        scores[g * score_width + key] = sum(products);
      }
    }
  }

  for (int64_t g = 0; g < group; ++g) {
    softmax_row(scores + g * score_width, num_keys, score_width, 1.0F, scores + g * score_width);
  }

  key = 0;
  for (const HeadSpan<T>& span : spans) {
    const T* v = span.v;
    for (int64_t j = 0; j < span.num_rows; ++j, ++key, v += kv_stride) {
      for (int64_t i = 0; i < head_dim; i += kLanes) {
        const Lanes values = load(v + i, head_dim - i);
        for (int64_t g = 0; g < group; ++g) {
          float* sums = total + g * width + i;
          store(sums, load(sums) + values * scores[g * score_width + key]);
        }
      }
    }
  }
  for (int64_t g = 0; g < group; ++g) {
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      store(out + g * head_dim + i, load(total + g * width + i), head_dim - i);
    }
  }
}
PRUNE_SWEEP_CLONES void attend_head_of(
    const float* q,
    const HeadSpans<float>& spans,
    int64_t num_keys,
    int64_t group,
    int64_t head_dim,
    int64_t kv_stride,
    float scale,
    float* scratch,
    float* out) {
  attend_head(q, spans, num_keys, group, head_dim, kv_stride, scale, scratch, out);
}
PRUNE_SWEEP_CLONES void attend_head_of(
    const BFloat16* q,
    const HeadSpans<BFloat16>& spans,
    int64_t num_keys,
    int64_t group,
    int64_t head_dim,
    int64_t kv_stride,
    float scale,
    float* scratch,
    BFloat16* out) {
  attend_head(q, spans, num_keys, group, head_dim, kv_stride, scale, scratch, out);
}

int64_t num_keys(const KvSpans& spans) {
  int64_t count = 0;
  for (const KvSpan& span : spans) count += span.num_rows;
  return count;
}

template <typename T>
HeadSpans<T> spans_of_head(const KvSpans& spans, int64_t kv_head) {
  HeadSpans<T> heads{};
  for (size_t i = 0; i < spans.size(); ++i) {
    const KvSpan& span = spans[i];
    if (span.num_rows == 0) continue;
    const int64_t offset = (span.first_row * span.k->size(1) + kv_head) * span.k->size(2);
    heads[i] = {
        span.k->const_data_ptr<T>() + offset, span.v->const_data_ptr<T>() + offset, span.num_rows};
  }
  return heads;
}

/// attend_stored for one element type and the tasks [begin, end): rows x key-value heads.
template <typename T>
void attend_tasks(
    const at::Tensor& q,
    const std::vector<KvSpans>& spans,
    int64_t kv_heads,
    int64_t begin,
    int64_t end,
    at::Tensor& out) {
  const int64_t head_dim = q.size(2);
  const int64_t group = q.size(1) / kv_heads;
  std::vector<float> scratch;
  for (int64_t task = begin; task < end; ++task) {
    const KvSpans& row = spans[static_cast<size_t>(task / kv_heads)];
    const int64_t keys = num_keys(row);
    const int64_t floats = (2 * group + 1) * lanes_up(head_dim) + group * lanes_up(keys);
    scratch.resize(std::max(scratch.size(), static_cast<size_t>(floats)));
    const int64_t offset = task * group * head_dim;
    attend_head_of(
        q.const_data_ptr<T>() + offset,
        spans_of_head<T>(row, task % kv_heads),
        keys,
        group,
        head_dim,
        kv_heads * head_dim,
        score_scale(head_dim),
        scratch.data(),
        out.data_ptr<T>() + offset);
  }
}

}  // namespace

at::Tensor attend_stored(const at::Tensor& q, const std::vector<KvSpans>& spans) {
  if (!q.is_cpu()) return plain::attend_stored(q, spans);
  at::Tensor out = at::empty({q.size(0), q.size(1) * q.size(2)}, q.options());
  const int64_t kv_heads = spans.front().back().k->size(1);
  int64_t keys = 0;
  for (const KvSpans& row : spans) keys += num_keys(row);
  const int64_t num_tasks = q.size(0) * kv_heads;
  const int64_t grain = parallel_grain(num_tasks, 4 * keys * q.size(1) * q.size(2));
  with_element_type(q, [&](auto zero) {
    at::parallel_for(0, num_tasks, grain, [&](int64_t begin, int64_t end) {
      attend_tasks<decltype(zero)>(q, spans, kv_heads, begin, end, out);
    });
  });
  return out;
}

}  // namespace prune_sweep
