#include "engine/pruners/magnitude_counts.hpp"

#include <cstring>

namespace prune_sweep {

const std::vector<int32_t>& MagnitudeCounts::of(int32_t layer, size_t linear) {
  std::vector<int32_t>& counts =
      counts_[static_cast<size_t>(layer) * kLinearWeights.size() + linear];
  if (!counts.empty()) return counts;
  counts.assign(kSize, 0);
  const TensorView& stored = weights_.stored(layer, kLinearWeights[linear]);
  for (size_t offset = 0; offset + 1 < stored.bytes.size(); offset += sizeof(uint16_t)) {
    uint16_t word;
    std::memcpy(&word, stored.bytes.data() + offset, sizeof word);
    ++counts[word & 0x7fffU];
  }
  return counts;
}

}  // namespace prune_sweep
