/// \file
/// Reads HDF5 with its C API alone, for tests: nothing of the code under test.
#pragma once

#include <hdf5.h>
#include <hdf5_hl.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace hdf5_reading {

/// Identifiers are left to the file, which closes them with itself.
inline hid_t valid(hid_t id, const std::string& what) {
  if (id < 0) throw std::runtime_error("cannot open " + what);
  return id;
}

class File {
 public:
  explicit File(const std::filesystem::path& path) {
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    id_ = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access);
    H5Pclose(access);
    valid(id_, path.string());
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { H5Fclose(id_); }
  hid_t id() const { return id_; }

 private:
  hid_t id_;
};

inline std::string type_name(hid_t type) {
  const size_t bits = 8 * H5Tget_size(type);
  switch (H5Tget_class(type)) {
    case H5T_STRING:
      return H5Tget_cset(type) == H5T_CSET_UTF8 ? "UTF-8 string" : "string";
    case H5T_FLOAT:
      return "float" + std::to_string(bits);
    case H5T_INTEGER:
      return (H5Tget_sign(type) == H5T_SGN_NONE ? "uint" : "int") + std::to_string(bits);
    default:
      return "another type";
  }
}

inline std::vector<hsize_t> dims(hid_t space) {
  std::vector<hsize_t> sizes(static_cast<size_t>(H5Sget_simple_extent_ndims(space)));
  H5Sget_simple_extent_dims(space, sizes.data(), nullptr);
  return sizes;
}

inline hid_t data_set(const File& file, const std::string& path) {
  return valid(H5Dopen2(file.id(), path.c_str(), H5P_DEFAULT), path);
}

inline std::vector<hsize_t> dims(const File& file, const std::string& path) {
  return dims(H5Dget_space(data_set(file, path)));
}

template <typename T>
hid_t native_type();
template <>
inline hid_t native_type<uint8_t>() {
  return H5T_NATIVE_UINT8;
}
template <>
inline hid_t native_type<int32_t>() {
  return H5T_NATIVE_INT32;
}
template <>
inline hid_t native_type<int64_t>() {
  return H5T_NATIVE_INT64;
}
template <>
inline hid_t native_type<uint64_t>() {
  return H5T_NATIVE_UINT64;
}
template <>
inline hid_t native_type<float>() {
  return H5T_NATIVE_FLOAT;
}
template <>
inline hid_t native_type<double>() {
  return H5T_NATIVE_DOUBLE;
}

template <typename T>
std::vector<T> numbers(const File& file, const std::string& path) {
  const hid_t id = data_set(file, path);
  std::vector<T> values(static_cast<size_t>(H5Sget_simple_extent_npoints(H5Dget_space(id))));
  if (H5Dread(id, native_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0) {
    throw std::runtime_error("cannot read " + path);
  }
  return values;
}

/// Bytes of a data set as they are stored, numbers little-endian.
inline std::string bytes(const File& file, const std::string& path) {
  const hid_t id = data_set(file, path);
  const hid_t type = H5Dget_type(id);
  const auto count = static_cast<size_t>(H5Sget_simple_extent_npoints(H5Dget_space(id)));
  std::string values(count * H5Tget_size(type), '\0');
  if (H5Dread(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) < 0) {
    throw std::runtime_error("cannot read " + path);
  }
  return values;
}

inline std::vector<std::string> texts(const File& file, const std::string& path) {
  const std::string block = bytes(file, path);
  const size_t width = H5Tget_size(H5Dget_type(data_set(file, path)));
  std::vector<std::string> values;
  for (size_t at = 0; at < block.size(); at += width) {
    values.emplace_back(block.substr(at, width).c_str());
  }
  return values;
}

inline std::vector<std::string> text_attribute(hid_t object, const std::string& name) {
  const hid_t attribute = valid(H5Aopen(object, name.c_str(), H5P_DEFAULT), name);
  const hid_t space = H5Aget_space(attribute);
  std::vector<char*> pointers(static_cast<size_t>(H5Sget_simple_extent_npoints(space)));
  const hid_t type = H5Aget_type(attribute);
  std::vector<std::string> values;
  if (pointers.empty()) return values;
  H5Aread(attribute, type, pointers.data());
  for (const char* pointer : pointers) values.emplace_back(pointer == nullptr ? "" : pointer);
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
  return values;
}

template <typename T>
T number_attribute(hid_t object, const std::string& name) {
  const hid_t attribute = valid(H5Aopen(object, name.c_str(), H5P_DEFAULT), name);
  T value{};
  H5Aread(attribute, native_type<T>(), &value);
  return value;
}

inline std::vector<std::string> attribute_names(hid_t object) {
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  hsize_t position = 0;
  H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &position, add, &names);
  return names;
}

/// Calls `visit(path, object)` for the group of `path` and all that is below it, in the order in
/// which it was made.
inline void walk(
    hid_t object, const std::string& path, const std::function<void(std::string, hid_t)>& visit) {
  visit(path, object);
  if (H5Iget_type(object) == H5I_DATASET) return;
  H5G_info_t group;
  H5Gget_info(object, &group);
  for (hsize_t i = 0; i < group.nlinks; ++i) {
    char name[256] = {};
    H5Lget_name_by_idx(
        object, ".", H5_INDEX_CRT_ORDER, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT);
    const hid_t member = valid(H5Oopen(object, name, H5P_DEFAULT), name);
    walk(member, (path == "/" ? "" : path) + "/" + name, visit);
  }
}

/// Last part of the path of each dimension's scale; "?" for a dimension that has none.
inline std::vector<std::string> dimension_names(hid_t id) {
  if (H5DSis_scale(id) > 0) {
    char path[256] = {};
    H5Iget_name(id, path, sizeof path);
    return {std::filesystem::path(path).filename().string()};
  }
  const auto read_name = [](hid_t, unsigned, hid_t scale, void* name) -> herr_t {
    char path[256] = {};
    H5Iget_name(scale, path, sizeof path);
    *static_cast<std::string*>(name) = std::filesystem::path(path).filename().string();
    return 1;
  };
  std::vector<std::string> names(dims(H5Dget_space(id)).size(), "?");
  for (unsigned i = 0; i < names.size(); ++i) {
    H5DSiterate_scales(id, i, nullptr, read_name, &names[i]);
  }
  return names;
}

}  // namespace hdf5_reading
