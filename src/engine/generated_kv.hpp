/// \file
/// Keys and values of generated tokens in one layer, a slot for each text.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "engine/kv_blocks.hpp"

namespace prune_sweep {

class GeneratedKv {
 public:
  /// A token's place: the tokens of a slot come one after the other, from 0 on.
  struct Place {
    int64_t slot = 0;
    int64_t token = 0;
  };

  /// Room for `capacity` tokens in each of `num_slots` slots, of which untouched blocks cost
  /// nothing. `like` is [any, kv_heads, head_dim].
  GeneratedKv(int64_t num_slots, int64_t capacity, const at::Tensor& like);

  /// Takes one token of each place's text.
  void put(
      const std::vector<Place>& places,
      const at::Tensor& k,   // [places, kv_heads, head_dim], contiguous
      const at::Tensor& v);  // the same

  const KvBlocks& blocks() const { return blocks_; }
  /// Block `index` of a slot's tokens: a step each, so that little is read that is not there yet.
  /// Behind the last token that was put are values of zero and any keys.
  KvBlocks::Block block_of(int64_t slot, int64_t index) const {
    return {slot * capacity_ + index * KvBlocks::kStep, KvBlocks::kStep};
  }

 private:
  int64_t capacity_;  ///< whole steps
  KvBlocks blocks_;
};

}  // namespace prune_sweep
