#include "archive/archive_group.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace prune_sweep {

namespace {

/// Largest chunk of a list, in elements.
constexpr hsize_t kListChunk = hsize_t{1} << 20;
/// Data sets of one-byte strings are read as lists of characters by the netCDF world.
constexpr size_t kMinTextBytes = 2;

/// The names in `[variant, question]`.
std::vector<std::string> dimension_names(const FormatEntry& entry) {
  std::vector<std::string> names(1);
  for (const char letter : entry.shape) {
    if (letter == ',') names.emplace_back();
    if (std::string_view("[, ]").find(letter) == std::string_view::npos) names.back() += letter;
  }
  return names;
}

/// One row, that is one variant, is one chunk. Nothing to cut where there are no elements.
std::vector<hsize_t> chunk_of(std::vector<hsize_t> dims) {
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return {};
  dims.front() = dims.size() > 1 ? 1 : std::min(dims.front(), kListChunk);
  return dims;
}

/// Strings as one block of equal lengths, padded with zeros.
struct TextBlock {
  explicit TextBlock(const std::vector<std::string>& texts) {
    for (const std::string& text : texts) width = std::max(width, text.size());
    bytes.reserve(width * texts.size());
    for (const std::string& text : texts) bytes.append(text).append(width - text.size(), '\0');
  }

  size_t width = kMinTextBytes;
  std::string bytes;  // [texts * width]
};

}  // namespace

ArchiveGroup ArchiveGroup::root(const Hdf5Id& file, std::vector<WrittenDataSet>& written) {
  return {nullptr, open_group(file, "/"), "", written};
}

ArchiveGroup ArchiveGroup::group(std::string_view name, std::string_view format_name) const {
  const std::string_view last = format_name.empty() ? name : format_name;
  return {this, create_group(id_, name), format_path_ + "/" + std::string(last), written_};
}

void ArchiveGroup::scale(const std::string& name, size_t size) {
  std::vector<int32_t> values(size);
  for (size_t i = 0; i < size; ++i) values[i] = static_cast<int32_t>(i);
  add_scale(name, name, size, make(name, hdf5_element<int32_t>(), {size}, values.data(), nullptr));
}

void ArchiveGroup::scale(const std::string& name, const std::vector<std::string>& texts) {
  const TextBlock block(texts);
  const hsize_t size = texts.size();
  add_scale(
      name, name, size, make(name, hdf5_text(block.width), {size}, block.bytes.data(), nullptr));
}

void ArchiveGroup::dimension_without_values(const std::string& name, size_t size) {
  std::string digits = std::to_string(size);
  digits.insert(0, 10 - std::min<size_t>(10, digits.size()), ' ');
  add_scale(
      name,
      "This is a netCDF dimension but not a netCDF variable." + digits,
      size,
      make(name, hdf5_element<uint8_t>(), {size}, nullptr, nullptr));
}

void ArchiveGroup::column(const std::string& name, const std::vector<std::string>& texts) {
  const TextBlock block(texts);
  add_column(name, hdf5_text(block.width), texts.size(), block.bytes.data(), nullptr);
}

const FormatEntry& ArchiveGroup::entry(const std::string& name) const {
  static const std::vector<FormatEntry> kEntries = format_entries();
  const std::string path = format_path_ + "/" + name;
  const auto found = std::find_if(
      kEntries.begin(), kEntries.end(), [&](const FormatEntry& row) { return row.path == path; });
  if (found == kEntries.end()) throw std::logic_error(path + " is not in the archive's format");
  return *found;
}

const ArchiveGroup::Scale& ArchiveGroup::find_scale(const std::string& name) const {
  for (const Scale& scale : scales_) {
    if (scale.name == name) return scale;
  }
  if (parent_ == nullptr) throw std::logic_error("the archive has no dimension scale " + name);
  return parent_->find_scale(name);
}

void ArchiveGroup::add_scale(
    const std::string& name, const std::string& label, hsize_t size, Hdf5Id id) {
  make_scale(id, label);
  scales_.push_back({name, size, std::move(id)});
}

void ArchiveGroup::add_column(
    const std::string& name,
    const Hdf5Element& element,
    size_t count,
    const void* data,
    const void* fill) {
  const std::vector<std::string> names = dimension_names(entry(name));
  std::vector<hsize_t> dims;
  hsize_t expected_count = 1;
  for (const std::string& dimension : names) {
    dims.push_back(find_scale(dimension).size);
    expected_count *= dims.back();
  }
  if (count != expected_count) throw std::logic_error(name + " has another number of values");
  const Hdf5Id id = make(name, element, dims, data, fill);
  for (unsigned i = 0; i < names.size(); ++i) attach_scale(id, i, find_scale(names[i]).id);
}

Hdf5Id ArchiveGroup::make(
    const std::string& name,
    const Hdf5Element& element,
    const std::vector<hsize_t>& dims,
    const void* data,
    const void* fill) {
  const FormatEntry& described = entry(name);
  if (described.type != element.name) {
    throw std::logic_error(described.path + " is " + described.type);
  }
  const auto chunk = data == nullptr ? std::vector<hsize_t>{} : chunk_of(dims);
  Hdf5Id id = create_data_set(id_, {name, element, dims, chunk, data, fill});
  write_attribute(id, "units", described.units);
  write_attribute(id, "description", described.meaning);
  if (!described.labels.empty()) write_attribute(id, "labels", described.labels);
  // Two conventions of netCDF: what xarray masks, and how it decodes strings of a fixed length.
  if (fill != nullptr) write_attribute(id, "_FillValue", element, fill, {1});
  if (element.number < 0) write_attribute(id, "_Encoding", std::string_view("utf-8"));
  written_.push_back({id.path(), dims});
  return id;
}

}  // namespace prune_sweep
