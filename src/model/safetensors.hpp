/// \file
/// The safetensors format: 8 bytes length of the header (little-endian), the header (JSON: name ->
/// dtype, shape, data_offsets), the data. https://github.com/huggingface/safetensors#format
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "prune_sweep/model/checkpoint.hpp"

namespace prune_sweep {

using TensorTable = std::map<std::string, TensorView, std::less<>>;

/// The tensors of a file whose content is `file`; the views point into it. Throws Error (kBadInput)
/// beginning with `source` and naming the tensor: whatever the header says, no view reaches outside
/// of `file`, no two overlap, and together they cover all data.
TensorTable parse_safetensors(std::string_view file, const std::string& source);

/// Bytes of an element.
size_t size_of(StoredType type);

/// `[2048, 1024]`
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace prune_sweep
