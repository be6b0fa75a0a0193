/// \file
/// The safetensors format: 8 bytes length of the header (little-endian), the header (JSON: name ->
/// dtype, shape, data_offsets), the data. https://github.com/huggingface/safetensors#format
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/model/checkpoint.hpp"

namespace prune_sweep {

using TensorTable = std::map<std::string, TensorView, std::less<>>;

/// The tensors of a file whose content is `file`; the views point into it. Throws Error (kBadInput)
/// beginning with `source` and naming the tensor: whatever the header says, no view reaches outside
/// of `file`, no two overlap, and together they cover all data.
TensorTable parse_safetensors(std::string_view file, const std::string& source);

/// A tensor to be written.
struct TensorEntry {
  std::string name;
  StoredType type = StoredType::kBfloat16;
  std::vector<int64_t> shape;
};

/// What a file begins with whose data are those of `tensors`, one behind the other without gaps.
std::string safetensors_head(
    std::span<const TensorEntry> tensors, const std::map<std::string, std::string>& metadata);

/// Bytes of an element.
size_t size_of(StoredType type);

/// `[2048, 1024]`
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace prune_sweep
