/// \file
/// Keys and values of a unit: those of its prompts, stream by stream, and those of what is
/// generated; and attention to them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

enum class KeepKv : uint8_t { kNo, kYes };

/// Which rows of the prompts have queries.
enum class Queries : uint8_t { kAllRows, kWantedRows };

/// Queries, keys and values of rows, after q/k norm and RoPE.
struct Qkv {
  at::Tensor q;  // [rows, heads, head_dim]
  at::Tensor k;  // [rows, kv_heads, head_dim]
  at::Tensor v;  // [rows, kv_heads, head_dim]
};

/// Which prompt a row of generated text reads, and where its own keys and values are.
struct GeneratedRow {
  size_t branch = 0;  ///< of the layer, whose prompts it reads
  int64_t run = 0;    ///< of the prompt among the unit's sequences
  int64_t prompt_len = 0;
  int64_t slot = 0;
};

/// Such rows in one layer, as a UnitKv wants them told.
class GeneratedRows {
 public:
  virtual ~GeneratedRows() = default;
};

/// Of keys and values of one row in one layer.
inline int64_t kv_row_bytes(const ModelConfig& config, int64_t element_bytes) {
  return int64_t{2} * config.kv_heads * config.head_dim * element_bytes;
}

class UnitKv {
 public:
  virtual ~UnitKv() = default;

  /// Takes keys and values of all rows of the streams behind branches of a layer, one stream behind
  /// the other, and attends, causally within each, for its rows that have queries, in their order:
  /// => [rows of q, heads * head_dim].
  virtual at::Tensor attend_prompts(
      size_t layer, std::span<const int64_t> branches, const Qkv& qkv, Queries queries) = 0;

  /// Makes room for `capacity` generated tokens in each of `num_slots` slots.
  virtual void reserve_generated(int64_t num_slots, int64_t capacity) = 0;

  /// What attend_generated() is to be told of rows that go through a layer together, as often as
  /// they do.
  virtual std::unique_ptr<GeneratedRows> tell_rows(
      size_t layer, const std::vector<GeneratedRow>& rows) const = 0;

  /// Stores keys and values of one token of each row, and attends for these tokens to the prompt,
  /// to what was generated before, and to itself: => [rows, heads * head_dim]. `positions` [rows],
  /// int32, are those of the tokens; a slot's first token is the one behind the prompt.
  /// Preconditions: `rows` is its own; prompts are kept, and there is room.
  virtual at::Tensor attend_generated(
      const GeneratedRows& rows, const at::Tensor& positions, const Qkv& qkv) = 0;
};

}  // namespace prune_sweep
