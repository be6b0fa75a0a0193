/// \file
/// Attention in plain operations, sequence by sequence: the yardstick.
#pragma once

#include <ATen/ATen.h>

#include <limits>
#include <vector>

#include "engine/attention_parts.hpp"
#include "engine/packed_rows.hpp"
#include "engine/unit_kv.hpp"

namespace prune_sweep::plain {

/// q, k, v of one sequence; `mask` is true where a query must not look.
inline at::Tensor attend(at::Tensor q, at::Tensor k, at::Tensor v, const at::Tensor& mask) {
  const int64_t group = q.size(1) / k.size(1);
  const int64_t rows = q.size(0);
  q = q.transpose(0, 1);                                          // [heads, rows, head_dim]
  k = k.repeat_interleave(group, /*dim=*/1).permute({1, 2, 0});   // [heads, head_dim, keys]
  v = v.repeat_interleave(group, /*dim=*/1).transpose(0, 1);      // [heads, keys, head_dim]
  at::Tensor scores = at::matmul(q, k) * score_scale(q.size(2));  // [heads, rows, keys]
  scores = scores.masked_fill(mask, -std::numeric_limits<float>::infinity());
  const at::Tensor weights = at::softmax(scores, -1, at::kFloat).to(q.scalar_type());
  return at::matmul(weights, v).transpose(0, 1).reshape({rows, -1});
}

inline at::Tensor causal_mask(int64_t rows, int64_t keys, const at::Tensor& like) {
  return at::ones({rows, keys}, like.options().dtype(at::kBool)).triu(keys - rows + 1);
}

inline at::Tensor attend_packed(const Qkv& qkv, const PackedRows& packed) {
  std::vector<at::Tensor> parts;
  for (int64_t first = 0; first < qkv.q.size(0); first += packed.num_rows()) {
    const int64_t prefix = packed.prefix_len;
    const auto rows = [first](const at::Tensor& from, int64_t begin, int64_t count) {
      return from.narrow(0, first + begin, count);
    };
    if (prefix > 0) {
      parts.push_back(attend(
          rows(qkv.q, 0, prefix),
          rows(qkv.k, 0, prefix),
          rows(qkv.v, 0, prefix),
          causal_mask(prefix, prefix, qkv.q)));
    }
    for (const auto& [first_row, count, num_kept] : packed.sequences) {
      parts.push_back(attend(
          rows(qkv.q, first_row, count),
          at::cat({rows(qkv.k, 0, prefix), rows(qkv.k, first_row, count)}),
          at::cat({rows(qkv.v, 0, prefix), rows(qkv.v, first_row, count)}),
          causal_mask(count, prefix + count, qkv.q)));
    }
  }
  return at::cat(parts);
}

/// `k` and `v` [keys, kv_heads, head_dim] of one row of q.
inline at::Tensor attend_stored(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  return attend(q, k, v, at::zeros({1, k.size(0)}, q.options().dtype(at::kBool)));
}

}  // namespace prune_sweep::plain
