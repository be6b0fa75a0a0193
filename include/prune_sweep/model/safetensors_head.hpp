/// \file
/// How a safetensors file begins, for those who write one; reading is Checkpoint's.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "prune_sweep/model/checkpoint.hpp"

namespace prune_sweep {

/// A tensor to be written.
struct TensorEntry {
  std::string name;
  StoredType type = StoredType::kBfloat16;
  std::vector<int64_t> shape;
};

/// What a file begins with whose data are those of `tensors`, one behind the other without gaps.
std::string safetensors_head(
    std::span<const TensorEntry> tensors, const std::map<std::string, std::string>& metadata);

}  // namespace prune_sweep
