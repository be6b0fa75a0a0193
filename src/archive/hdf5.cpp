#include "archive/hdf5.hpp"

#include <hdf5_hl.h>

#include <array>

namespace prune_sweep {

namespace {

/// Memory of an image grows by this much at a time.
constexpr size_t kImageIncrement = size_t{16} << 20;
constexpr unsigned kGzipLevel = 4;

herr_t append_message(unsigned /*depth*/, const H5E_error2_t* entry, void* text) {
  auto& stack = *static_cast<std::string*>(text);
  if (!stack.empty()) stack += " < ";
  stack.append(entry->func_name).append(": ").append(entry->desc);
  return 0;
}

/// HDF5's messages, from the first cause to the call that failed.
std::string take_error_stack() {
  std::string stack;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, append_message, &stack);
  H5Eclear2(H5E_DEFAULT);
  return printable(stack, 1000);
}

[[noreturn]] void hdf5_error(std::string_view action) {
  throw Hdf5Error(ExitStatus::kDisk, "cannot " + std::string(action), take_error_stack());
}

void check(herr_t result, std::string_view action) {
  if (result < 0) hdf5_error(action);
}

std::string member_path(const Hdf5Id& parent, std::string_view name) {
  const std::string path = parent.path();
  return (path == "/" ? "" : path) + "/" + std::string(name);
}

Hdf5Id properties(hid_t kind) { return {H5Pcreate(kind), H5Pclose, "make a property list"}; }

Hdf5Id file_access() {
  Hdf5Id access = properties(H5P_FILE_ACCESS);
  check(
      H5Pset_libver_bounds(access.get(), H5F_LIBVER_EARLIEST, H5F_LIBVER_V110),
      "set library versions");
  return access;
}

/// Without times, and with the order in which members were made.
Hdf5Id group_properties(hid_t kind) {
  Hdf5Id creation = properties(kind);
  check(H5Pset_obj_track_times(creation.get(), false), "switch off time stamps");
  check(
      H5Pset_link_creation_order(creation.get(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED),
      "track creation order");
  return creation;
}

Hdf5Id data_space(const std::vector<hsize_t>& dims) {
  const hid_t space = dims.empty()
                          ? H5Screate(H5S_SCALAR)
                          : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr);
  return {space, H5Sclose, "make a data space"};
}

Hdf5Id text_type(size_t size) {
  Hdf5Id type(H5Tcopy(H5T_C_S1), H5Tclose, "make a text type");
  check(H5Tset_size(type.get(), size), "size a text type");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "make a text type UTF-8");
  const bool fixed = size != H5T_VARIABLE;
  check(H5Tset_strpad(type.get(), fixed ? H5T_STR_NULLPAD : H5T_STR_NULLTERM), "pad a text type");
  return type;
}

Hdf5Id element_type(const Hdf5Element& element) {
  if (element.number < 0) return text_type(element.size);
  return {H5Tcopy(element.number), H5Tclose, "copy a number type"};
}

Hdf5Id data_set_properties(const Hdf5DataSet& data_set, const Hdf5Id& type) {
  Hdf5Id creation = properties(H5P_DATASET_CREATE);
  const hid_t id = creation.get();
  check(H5Pset_obj_track_times(id, false), "switch off time stamps");
  if (data_set.fill != nullptr) {
    check(H5Pset_fill_value(id, type.get(), data_set.fill), "set a fill value");
  }
  if (data_set.chunk.empty()) return creation;
  check(
      H5Pset_chunk(id, static_cast<int>(data_set.chunk.size()), data_set.chunk.data()),
      "set a chunk");
  check(H5Pset_shuffle(id), "set the shuffle filter");
  check(H5Pset_deflate(id, kGzipLevel), "set the gzip filter");
  check(H5Pset_fletcher32(id), "set the fletcher32 filter");
  return creation;
}

void write_attribute_as(
    const Hdf5Id& object,
    std::string_view name,
    const Hdf5Id& type,
    const void* value,
    const std::vector<hsize_t>& dims) {
  const std::string action = "write attribute " + member_path(object, name);
  const Hdf5Id space = data_space(dims);
  const Hdf5Id attribute(
      H5Acreate2(
          object.get(),
          std::string(name).c_str(),
          type.get(),
          space.get(),
          H5P_DEFAULT,
          H5P_DEFAULT),
      H5Aclose,
      action);
  if (value != nullptr) check(H5Awrite(attribute.get(), type.get(), value), action);
}

}  // namespace

Hdf5Id::Hdf5Id(hid_t id, Close close, std::string_view action) : id_(id), close_(close) {
  if (id < 0) hdf5_error(action);
}

Hdf5Id& Hdf5Id::operator=(Hdf5Id&& other) noexcept {
  std::swap(id_, other.id_);
  std::swap(close_, other.close_);
  return *this;
}

void Hdf5Id::reset() {
  if (id_ >= 0) close_(id_);
}

std::string Hdf5Id::path() const {
  std::array<char, 512> name{};
  const ssize_t length = H5Iget_name(id_, name.data(), name.size());
  return length > 0 ? name.data() : "?";
}

Hdf5Silence::Hdf5Silence() {
  H5Eget_auto2(H5E_DEFAULT, &print_, &data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Silence::~Hdf5Silence() { H5Eset_auto2(H5E_DEFAULT, print_, data_); }

template <>
Hdf5Element hdf5_element<uint8_t>() {
  return {"uint8", H5T_STD_U8LE, sizeof(uint8_t)};
}
template <>
Hdf5Element hdf5_element<int32_t>() {
  return {"int32", H5T_STD_I32LE, sizeof(int32_t)};
}
template <>
Hdf5Element hdf5_element<int64_t>() {
  return {"int64", H5T_STD_I64LE, sizeof(int64_t)};
}
template <>
Hdf5Element hdf5_element<uint64_t>() {
  return {"uint64", H5T_STD_U64LE, sizeof(uint64_t)};
}
template <>
Hdf5Element hdf5_element<float>() {
  return {"float32", H5T_IEEE_F32LE, sizeof(float)};
}
template <>
Hdf5Element hdf5_element<double>() {
  return {"float64", H5T_IEEE_F64LE, sizeof(double)};
}
Hdf5Element hdf5_text(size_t bytes) { return {"UTF-8 string", -1, bytes}; }

Hdf5Id create_hdf5_image() {
  const Hdf5Id creation = group_properties(H5P_FILE_CREATE);
  const Hdf5Id access = file_access();
  check(H5Pset_fapl_core(access.get(), kImageIncrement, false), "choose a file in memory");
  // HDF5 first looks whether the name exists, even for a file in memory: this one cannot.
  return {
      H5Fcreate("/dev/null/archive", H5F_ACC_TRUNC, creation.get(), access.get()),
      H5Fclose,
      "make a file in memory"};
}

std::string hdf5_image(const Hdf5Id& file) {
  check(H5Fflush(file.get(), H5F_SCOPE_GLOBAL), "flush a file in memory");
  const ssize_t size = H5Fget_file_image(file.get(), nullptr, 0);
  if (size < 0) hdf5_error("measure a file in memory");
  std::string image(static_cast<size_t>(size), '\0');
  if (H5Fget_file_image(file.get(), image.data(), image.size()) != size) {
    hdf5_error("copy a file in memory");
  }
  return image;
}

Hdf5Id open_hdf5(const std::filesystem::path& path) {
  const Hdf5Id access = file_access();
#if H5_VERSION_GE(1, 10, 7)
  check(H5Pset_file_locking(access.get(), false, true), "switch off file locks");
#endif
  return {H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose, "open " + path.string()};
}

Hdf5Id open_group(const Hdf5Id& parent, const std::string& path) {
  return {H5Gopen2(parent.get(), path.c_str(), H5P_DEFAULT), H5Gclose, "open group " + path};
}

Hdf5Id create_group(const Hdf5Id& parent, std::string_view name) {
  const Hdf5Id creation = group_properties(H5P_GROUP_CREATE);
  return {
      H5Gcreate2(parent.get(), std::string(name).c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
      H5Gclose,
      "make group " + member_path(parent, name)};
}

Hdf5Id create_data_set(const Hdf5Id& parent, const Hdf5DataSet& data_set) {
  const std::string path = member_path(parent, data_set.name);
  const Hdf5Id type = element_type(data_set.element);
  const Hdf5Id space = data_space(data_set.dims);
  const Hdf5Id creation = data_set_properties(data_set, type);
  Hdf5Id id(
      H5Dcreate2(
          parent.get(),
          std::string(data_set.name).c_str(),
          type.get(),
          space.get(),
          H5P_DEFAULT,
          creation.get(),
          H5P_DEFAULT),
      H5Dclose,
      "make data set " + path);
  if (data_set.data != nullptr) {
    check(
        H5Dwrite(id.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, data_set.data),
        "write data set " + path);
  }
  return id;
}

Hdf5Id open_data_set(const Hdf5Id& parent, const std::string& path) {
  return {H5Dopen2(parent.get(), path.c_str(), H5P_DEFAULT), H5Dclose, "open data set " + path};
}

std::vector<hsize_t> data_set_dims(const Hdf5Id& data_set) {
  const Hdf5Id space(H5Dget_space(data_set.get()), H5Sclose, "read a shape");
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0) hdf5_error("read a rank");
  std::vector<hsize_t> dims(static_cast<size_t>(rank));
  check(H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr), "read a shape");
  return dims;
}

std::string data_set_type(const Hdf5Id& data_set) {
  const Hdf5Id type(H5Dget_type(data_set.get()), H5Tclose, "read a type");
  const std::string bits = std::to_string(8 * H5Tget_size(type.get()));
  switch (H5Tget_class(type.get())) {
    case H5T_STRING:
      return H5Tget_cset(type.get()) == H5T_CSET_UTF8 ? "UTF-8 string" : "string";
    case H5T_FLOAT:
      return "float" + bits;
    case H5T_INTEGER:
      return (H5Tget_sign(type.get()) == H5T_SGN_NONE ? "uint" : "int") + bits;
    default:
      return "another type";
  }
}

template <typename T>
std::vector<T> read_numbers(const Hdf5Id& data_set) {
  hsize_t count = 1;
  for (const hsize_t size : data_set_dims(data_set)) count *= size;
  std::vector<T> values(count);
  check(
      H5Dread(
          data_set.get(), hdf5_element<T>().number, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
      "read data set " + data_set.path());
  return values;
}
template std::vector<uint8_t> read_numbers(const Hdf5Id& data_set);
template std::vector<int32_t> read_numbers(const Hdf5Id& data_set);
template std::vector<uint64_t> read_numbers(const Hdf5Id& data_set);
template std::vector<float> read_numbers(const Hdf5Id& data_set);

std::vector<std::string> read_texts(const Hdf5Id& data_set) {
  const Hdf5Id type(H5Dget_type(data_set.get()), H5Tclose, "read a type");
  const size_t width = H5Tget_size(type.get());
  hsize_t count = 1;
  for (const hsize_t size : data_set_dims(data_set)) count *= size;
  std::string block(count * width, '\0');
  check(
      H5Dread(data_set.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, block.data()),
      "read data set " + data_set.path());
  std::vector<std::string> texts;
  for (size_t at = 0; at < block.size(); at += width) {
    std::string text = block.substr(at, width);
    text.erase(text.find_last_not_of('\0') + 1);
    texts.push_back(std::move(text));
  }
  return texts;
}

std::vector<std::string> member_names(const Hdf5Id& group) {
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* names) -> herr_t {
    static_cast<std::vector<std::string>*>(names)->emplace_back(name);
    return 0;
  };
  std::vector<std::string> names;
  check(
      H5Literate(group.get(), H5_INDEX_CRT_ORDER, H5_ITER_INC, nullptr, add, &names),
      "list " + group.path());
  return names;
}

bool has_member(const Hdf5Id& group, const std::string& name) {
  return H5Lexists(group.get(), name.c_str(), H5P_DEFAULT) > 0;
}

void make_scale(const Hdf5Id& data_set, const std::string& name) {
  check(
      H5DSset_scale(data_set.get(), name.c_str()), "make a dimension scale of " + data_set.path());
}

void attach_scale(const Hdf5Id& data_set, unsigned dimension, const Hdf5Id& scale) {
  check(
      H5DSattach_scale(data_set.get(), scale.get(), dimension),
      "attach " + scale.path() + " to " + data_set.path());
}

bool is_attached(const Hdf5Id& data_set, unsigned dimension, const Hdf5Id& scale) {
  return H5DSis_attached(data_set.get(), scale.get(), dimension) > 0;
}

void write_attribute(const Hdf5Id& object, std::string_view name, std::string_view text) {
  const std::string terminated(text);
  const char* pointer = terminated.c_str();
  write_attribute_as(object, name, text_type(H5T_VARIABLE), &pointer, {});
}

void write_attribute(
    const Hdf5Id& object, std::string_view name, const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  write_attribute_as(
      object,
      name,
      text_type(H5T_VARIABLE),
      pointers.empty() ? nullptr : pointers.data(),
      {hsize_t{texts.size()}});
}

void write_attribute(
    const Hdf5Id& object,
    std::string_view name,
    const Hdf5Element& element,
    const void* value,
    const std::vector<hsize_t>& dims) {
  write_attribute_as(object, name, element_type(element), value, dims);
}

bool has_attribute(const Hdf5Id& object, const std::string& name) {
  return H5Aexists(object.get(), name.c_str()) > 0;
}

int64_t read_number_attribute(const Hdf5Id& object, const std::string& name) {
  const std::string action = "read attribute " + member_path(object, name);
  const Hdf5Id attribute(H5Aopen(object.get(), name.c_str(), H5P_DEFAULT), H5Aclose, action);
  int64_t value = 0;
  check(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), action);
  return value;
}

std::string read_text_attribute(const Hdf5Id& object, const std::string& name) {
  const std::string action = "read attribute " + member_path(object, name);
  const Hdf5Id attribute(H5Aopen(object.get(), name.c_str(), H5P_DEFAULT), H5Aclose, action);
  const Hdf5Id type = text_type(H5T_VARIABLE);
  char* pointer = nullptr;
  check(H5Aread(attribute.get(), type.get(), &pointer), action);
  if (pointer == nullptr) return {};
  std::string text(pointer);
  check(H5free_memory(pointer), action);
  return text;
}

}  // namespace prune_sweep
