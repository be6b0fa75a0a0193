/// \file
/// A group of an archive being written, as the format's table describes it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/hdf5.hpp"
#include "prune_sweep/archive/archive.hpp"

namespace prune_sweep {

/// A data set as a reader must find it.
struct WrittenDataSet {
  std::string path;
  std::vector<hsize_t> dims;
};

/// Type, shape, units and meaning of all that goes into a group come from format_entries(), by
/// name; sizes come from the dimension scales of the group and of those above it, which outlive it.
/// What the table does not know, or knows otherwise, is a fault of the program: std::logic_error.
class ArchiveGroup {
 public:
  /// Every data set made in the group and below is added to `written`.
  static ArchiveGroup root(const Hdf5Id& file, std::vector<WrittenDataSet>& written);
  /// `format_name` is the group's name in the format's table, where it is another one.
  ArchiveGroup group(std::string_view name, std::string_view format_name = {}) const;

  template <typename T>
  void attribute(const std::string& name, const T& value) {
    entry("@" + name);
    write_attribute(id_, name, value);
  }

  /// A dimension scale with the values 0, 1, 2 ...
  void scale(const std::string& name, size_t size);
  void scale(const std::string& name, const std::vector<std::string>& texts);
  /// For a dimension too long to have values, by the convention of netCDF-4.
  void dimension_without_values(const std::string& name, size_t size);

  /// `values` are dense, in the order of the entry's shape; `fill` is what a missing one is.
  template <typename T>
  void column(const std::string& name, const std::vector<T>& values, std::optional<T> fill = {}) {
    add_column(name, hdf5_element<T>(), values.size(), values.data(), fill ? &*fill : nullptr);
  }
  void column(const std::string& name, const std::vector<std::string>& texts);

 private:
  struct Scale {
    std::string name;
    hsize_t size;
    Hdf5Id id;
  };

  ArchiveGroup(
      const ArchiveGroup* parent,
      Hdf5Id id,
      std::string format_path,
      std::vector<WrittenDataSet>& written)
      : parent_(parent),
        id_(std::move(id)),
        format_path_(std::move(format_path)),
        written_(written) {}

  const FormatEntry& entry(const std::string& name) const;
  const Scale& find_scale(const std::string& name) const;
  void add_scale(const std::string& name, const std::string& label, hsize_t size, Hdf5Id id);
  void add_column(
      const std::string& name,
      const Hdf5Element& element,
      size_t count,
      const void* data,
      const void* fill);
  Hdf5Id make(
      const std::string& name,
      const Hdf5Element& element,
      const std::vector<hsize_t>& dims,
      const void* data,
      const void* fill);

  const ArchiveGroup* parent_;
  Hdf5Id id_;
  std::string format_path_;
  std::vector<Scale> scales_;
  std::vector<WrittenDataSet>& written_;
};

}  // namespace prune_sweep
