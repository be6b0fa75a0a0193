/// \file
/// How many elements of a weight have which magnitude: one pass over the weight gives the
/// thresholds of all pruning levels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/weights.hpp"

namespace prune_sweep {

class MagnitudeCounts {
 public:
  /// Patterns of 16 bits without their sign.
  static constexpr size_t kSize = 1 << 15;

  /// `weights` must outlive it.
  explicit MagnitudeCounts(const Weights& weights)
      : weights_(weights),
        counts_(static_cast<size_t>(weights.num_layers()) * kLinearWeights.size()) {}

  /// [kSize]: by the stored bits without their sign, which order magnitudes. Counted when first
  /// asked for. Different weights may be asked for from different threads. Precondition: the weight
  /// is stored in 16 bits.
  const std::vector<int32_t>& of(int32_t layer, size_t linear);

 private:
  const Weights& weights_;
  std::vector<std::vector<int32_t>> counts_;  // [layers * linear weights], empty or [kSize]
};

}  // namespace prune_sweep
