/// \file
/// Scaled dot-product attention with grouped heads: query head h reads key and value head h /
/// (heads / kv_heads).
///
/// Every query row's result has the same bits whatever the other rows of the call are: matrix
/// products see keys in an extent that follows from the query's position alone, and the decoding
/// loop takes one row at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

#include "engine/packed_rows.hpp"

namespace prune_sweep {

/// Queries, keys and values of rows, after q/k norm and RoPE.
struct Qkv {
  at::Tensor q;  // [rows, heads, head_dim]
  at::Tensor k;  // [rows, kv_heads, head_dim]
  at::Tensor v;  // [rows, kv_heads, head_dim]
};

/// Causal attention of whole streams, one behind the other: rows = streams * packed.num_rows().
/// Rounded like Hugging Face's "eager" attention: scores and probabilities in the model's type,
/// softmax in float32.
at::Tensor attend_packed(const Qkv& qkv, const PackedRows& packed);  // => [rows, heads * head_dim]

/// A stretch of the keys and values that a query reads.
struct KvSpan {
  const at::Tensor* k = nullptr;  // [any, kv_heads, head_dim], contiguous
  const at::Tensor* v = nullptr;
  int64_t first_row = 0;
  int64_t num_rows = 0;
};
/// All of them in order: shared prompt, own prompt, generated so far. Empty ones have num_rows 0.
using KvSpans = std::array<KvSpan, 3>;

/// Attention of one query row per sequence to what its sequence has stored, itself included; scores
/// and probabilities stay in float32, like Hugging Face's "sdpa" attention.
at::Tensor attend_stored(
    const at::Tensor& q,                 // [rows, heads, head_dim]
    const std::vector<KvSpans>& spans);  // [rows]; => [rows, heads * head_dim]

/// The same in plain ATen operations, for any device; the yardstick of the tests.
namespace plain {
at::Tensor attend_packed(const Qkv& qkv, const PackedRows& packed);
at::Tensor attend_stored(const at::Tensor& q, const std::vector<KvSpans>& spans);
}  // namespace plain

}  // namespace prune_sweep
