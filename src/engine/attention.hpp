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

#include "engine/generated_kv.hpp"
#include "engine/kv_blocks.hpp"
#include "engine/kv_layout.hpp"
#include "engine/packed_rows.hpp"

namespace prune_sweep {

/// Causal attention within a stream: => [rows of q, heads * head_dim].
at::Tensor attend_packed(
    const at::Tensor& q,  // [rows, heads, head_dim]
    const std::vector<QueryRun>& queries,
    const KvBlocks& kv,
    const KvLayout& layout);

/// What one row of generated text reads: its prompt, then what was generated so far, itself
/// included.
struct StoredRow {
  const KvBlocks* prompts = nullptr;  ///< of a stream
  int64_t run = 0;                    ///< of the prompt among them
  int64_t prompt_len = 0;
  int64_t slot = 0;  ///< of what was generated
  int64_t num_generated = 0;
};

/// Attention of one query row each to what its text has stored. A prompt is read once for all rows
/// that have it.
at::Tensor attend_stored(
    const at::Tensor& q,                 // [rows, heads, head_dim]
    const std::vector<StoredRow>& rows,  // [rows]
    const KvLayout& layout,              // of the prompts
    const GeneratedKv& generated);       // => [rows, heads * head_dim]

}  // namespace prune_sweep
