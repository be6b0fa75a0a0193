/// \file
/// Scaled dot-product attention with grouped heads: query head h reads key and value head h /
/// (heads / kv_heads). Scores and softmax in float32, probabilities rounded to the model's type.
///
/// Every query row's result has the same bits whatever the other rows of the call are, and whatever
/// a sequence shares with others.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "engine/packed_rows.hpp"
#include "engine/stream_kv.hpp"

namespace prune_sweep {

/// Queries, keys and values of rows, after q/k norm and RoPE.
struct Qkv {
  at::Tensor q;  // [rows, heads, head_dim]
  at::Tensor k;  // [rows, kv_heads, head_dim]
  at::Tensor v;  // [rows, kv_heads, head_dim]
};

/// Queries of consecutive positions of a run (see KvLayout), in consecutive rows.
struct QueryRun {
  int64_t run = 0;
  int64_t first_position = 0;
  int64_t count = 0;
  int64_t first_row = 0;
};

/// Queries of all packed rows, or of those that are named, in their order.
std::vector<QueryRun> all_queries(const PackedRows& packed);
std::vector<QueryRun> queries_of(const PackedRows& packed, const std::vector<int64_t>& rows);

/// Causal attention within a stream: => [rows of q, heads * head_dim].
at::Tensor attend_packed(
    const at::Tensor& q,  // [rows, heads, head_dim]
    const std::vector<QueryRun>& queries,
    const StreamKv& kv,
    const KvLayout& layout);

/// What one row of generated text reads: its prompt, then what was generated so far, itself
/// included.
struct StoredRow {
  const StreamKv* prompt = nullptr;
  int64_t run = 0;  ///< of the prompt
  int64_t prompt_len = 0;
  const at::Tensor* own_k = nullptr;  // [any, kv_heads, head_dim], contiguous
  const at::Tensor* own_v = nullptr;
  int64_t first_own = 0;  ///< row of the first generated token
  int64_t num_own = 0;
};

/// Attention of one query row each to what its text has stored. A prompt is read once for all rows
/// that have it.
at::Tensor attend_stored(
    const at::Tensor& q,                 // [rows, heads, head_dim]
    const std::vector<StoredRow>& rows,  // [rows]
    const KvLayout& layout);             // => [rows, heads * head_dim]

/// The same in plain ATen operations, for any device; the yardstick of the tests.
namespace plain {
at::Tensor attend_packed(const Qkv& qkv, const PackedRows& packed);
at::Tensor attend_stored(
    const at::Tensor& q,
    const at::Tensor& k,  // [keys, kv_heads, head_dim] of one row of q
    const at::Tensor& v);
}  // namespace plain

}  // namespace prune_sweep
