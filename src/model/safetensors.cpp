#include "model/safetensors.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/json_file.hpp"
#include "prune_sweep/model/safetensors_head.hpp"

namespace prune_sweep {

namespace {

using nlohmann::json;

constexpr size_t kLengthBytes = 8;
// The limit of the reference implementation.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct DtypeName {
  StoredType type;
  std::string_view name;
  size_t size;
};
constexpr std::array kDtypes{
    DtypeName{StoredType::kBfloat16, "BF16", 2},
    DtypeName{StoredType::kFloat16, "F16", 2},
    DtypeName{StoredType::kFloat32, "F32", 4},
};

/// The header as text, its length checked against the file.
std::string_view header_text(std::string_view file, const std::string& source) {
  if (file.size() < kLengthBytes) bad_input(source, "too short to be a safetensors file");
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  if (length > kMaxHeaderBytes) {
    bad_input(
        source, "header of " + std::to_string(length) + " bytes", "Is it a safetensors file?");
  }
  if (length > file.size() - kLengthBytes) {
    bad_input(source, "ends within its header", "Is the download complete?");
  }
  const std::string_view text = file.substr(kLengthBytes, length);
  if (!text.starts_with('{')) bad_input(source, "header is not a JSON object");
  return text;
}

/// One tensor's entry of the header.
class Entry {
 public:
  Entry(const std::string& source, const std::string& name, const json& value)
      : where_(source + ": tensor " + printable(name)), value_(value) {
    if (!value_.is_object()) bad_input(where_, "its entry is not an object");
  }

  const DtypeName& dtype() const {
    const json& name = member("dtype");
    std::vector<std::string_view> known;
    for (const DtypeName& row : kDtypes) {
      if (name == row.name) return row;
      known.push_back(row.name);
    }
    bad_input(
        where_, "dtype " + brief(name) + " is not supported", "Supported: " + listed(known) + ".");
  }

  std::vector<int64_t> shape() const {
    const json& list = member("shape");
    if (!list.is_array()) bad_input(where_, "shape is not a list");
    std::vector<int64_t> dims;
    for (const json& dim : list) {
      const uint64_t size = natural(dim, "shape");
      if (size > INT64_MAX) bad_input(where_, "shape " + brief(list) + " is too large");
      dims.push_back(static_cast<int64_t>(size));
    }
    return dims;
  }

  /// The tensor's bytes, cut out of `data`.
  std::string_view bytes(std::string_view data, uint64_t expected_size) const {
    const json& list = member("data_offsets");
    if (!list.is_array() || list.size() != 2) bad_input(where_, "data_offsets is not a pair");
    const uint64_t begin = natural(list[0], "data_offsets");
    const uint64_t end = natural(list[1], "data_offsets");
    if (begin > end || end > data.size()) {
      bad_input(
          where_,
          "data_offsets " + brief(list) + " reach outside the " + std::to_string(data.size()) +
              " bytes of data",
          "Is the download complete?");
    }
    if (end - begin != expected_size) {
      bad_input(
          where_,
          "dtype and shape make " + std::to_string(expected_size) + " bytes, data_offsets " +
              std::to_string(end - begin));
    }
    return data.substr(begin, end - begin);
  }

  uint64_t num_bytes(const std::vector<int64_t>& dims, size_t element_size) const {
    uint64_t size = element_size;
    for (const int64_t dim : dims) {
      if (__builtin_mul_overflow(size, static_cast<uint64_t>(dim), &size)) {
        bad_input(where_, "shape " + shape_text(dims) + " is too large");
      }
    }
    return size;
  }

 private:
  const json& member(const char* key) const {
    if (!value_.contains(key)) bad_input(where_, std::string(key) + " is missing");
    return value_.at(key);
  }

  uint64_t natural(const json& number, const char* key) const {
    if (!number.is_number_unsigned()) {
      bad_input(where_, std::string(key) + " holds " + brief(number) + ", not a natural number");
    }
    return number.get<uint64_t>();
  }

  std::string where_;
  const json& value_;
};

void require_metadata(const json& metadata, const std::string& source) {
  const bool is_text_map =
      metadata.is_object() && std::all_of(metadata.begin(), metadata.end(), [](const json& value) {
        return value.is_string();
      });
  // Some writers put null where there is none.
  if (!metadata.is_null() && !is_text_map) {
    bad_input(source + ": __metadata__", "not a map from text to text");
  }
}

/// The format allows neither overlaps nor holes.
void require_seamless(
    const TensorTable& tensors, std::string_view data, const std::string& source) {
  std::vector<std::pair<std::string_view, std::string_view>> by_offset;  // bytes, name
  for (const auto& [name, view] : tensors) by_offset.emplace_back(view.bytes, name);
  std::sort(by_offset.begin(), by_offset.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.data(), a.first.size()) < std::pair(b.first.data(), b.first.size());
  });
  const char* covered = data.data();
  for (const auto& [bytes, name] : by_offset) {
    const std::string where = source + ": tensor " + printable(name);
    if (bytes.data() < covered) bad_input(where, "overlaps another tensor");
    if (bytes.data() > covered) bad_input(where, "a gap before its data");
    covered = bytes.data() + bytes.size();
  }
  if (covered != data.data() + data.size()) {
    bad_input(source, "bytes after the last tensor", "Is the download complete?");
  }
}

}  // namespace

TensorTable parse_safetensors(std::string_view file, const std::string& source) {
  const std::string_view text = header_text(file, source);
  const std::string_view data = file.substr(kLengthBytes + text.size());
  const json header = parse_json_object(text, source + ": header");

  TensorTable tensors;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      require_metadata(value, source);
      continue;
    }
    const Entry entry(source, name, value);
    const DtypeName& dtype = entry.dtype();
    TensorView view{.type = dtype.type, .shape = entry.shape(), .bytes = {}};
    view.bytes = entry.bytes(data, entry.num_bytes(view.shape, dtype.size));
    tensors.emplace(name, std::move(view));
  }
  require_seamless(tensors, data, source);
  return tensors;
}

std::string safetensors_head(
    std::span<const TensorEntry> tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header{{"__metadata__", metadata}};
  uint64_t begin = 0;
  for (const TensorEntry& tensor : tensors) {
    const DtypeName& dtype = kDtypes.at(static_cast<size_t>(tensor.type));
    uint64_t end = begin + dtype.size;
    for (const int64_t dim : tensor.shape) end = begin + (end - begin) * static_cast<uint64_t>(dim);
    header[tensor.name] = {
        {"dtype", dtype.name}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  // The data are to begin where any pointer may point.
  text.append(kLengthBytes - text.size() % kLengthBytes, ' ');
  const uint64_t length = text.size();
  std::string head(kLengthBytes, '\0');
  std::memcpy(head.data(), &length, sizeof length);
  return head + text;
}

size_t size_of(StoredType type) { return kDtypes.at(static_cast<size_t>(type)).size; }

std::string shape_text(const std::vector<int64_t>& shape) {
  std::vector<std::string> dims;
  for (const int64_t dim : shape) dims.push_back(std::to_string(dim));
  return '[' + listed(dims) + ']';
}

}  // namespace prune_sweep
