/// \file
/// HDF5 with owned handles and checked calls. A call that fails throws Hdf5Error with what was
/// attempted and HDF5's own error stack. One thread.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

/// Names the object in the file, but not the file.
class Hdf5Error : public Error {
  using Error::Error;
};

/// Owns an HDF5 identifier. Closing never throws: files are written in memory, so nothing can be
/// lost by it.
class Hdf5Id {
 public:
  using Close = herr_t (*)(hid_t);

  /// Throws unless `id` is valid; `action` says what was attempted, as in "open /variants/name".
  Hdf5Id(hid_t id, Close close, std::string_view action);
  Hdf5Id(Hdf5Id&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Id& operator=(Hdf5Id&& other) noexcept;
  ~Hdf5Id() { reset(); }

  hid_t get() const { return id_; }
  /// "/variants/name"; of a file, "/".
  std::string path() const;

 private:
  void reset();

  hid_t id_;
  Close close_;
};

/// Keeps HDF5 from printing error stacks while it lives: they are part of the exceptions.
class Hdf5Silence {
 public:
  Hdf5Silence();
  ~Hdf5Silence();
  Hdf5Silence(const Hdf5Silence&) = delete;
  Hdf5Silence& operator=(const Hdf5Silence&) = delete;

 private:
  H5E_auto2_t print_ = nullptr;
  void* data_ = nullptr;
};

/// What the elements of a data set are: bytes of one size, little-endian numbers or text.
struct Hdf5Element {
  std::string_view name;  ///< "float32", "UTF-8 string": as in results/FORMAT.md
  hid_t number = -1;      ///< a predefined type; -1 for text
  size_t size = 0;        ///< bytes; of text, its null-padded length
};
/// uint8_t, int32_t, int64_t, uint64_t, float, double.
template <typename T>
Hdf5Element hdf5_element();
Hdf5Element hdf5_text(size_t bytes);

/// A data set as it is to be made.
struct Hdf5DataSet {
  std::string_view name;
  Hdf5Element element;
  std::vector<hsize_t> dims;
  std::vector<hsize_t> chunk;  ///< empty: contiguous, no filters
  const void* data = nullptr;  ///< [dims], dense; nullptr leaves the data set without storage
  const void* fill = nullptr;  ///< one element that stands for a missing one, or nullptr
};

/// A file in memory: its bytes are complete once image() has returned, and no HDF5 call ever
/// touches a disk. Readable by HDF5 1.8 and later; free of time stamps, so that equal content gives
/// equal bytes.
Hdf5Id create_hdf5_image();
std::string hdf5_image(const Hdf5Id& file);

/// For reading, without a lock: the caller knows that nobody writes it.
Hdf5Id open_hdf5(const std::filesystem::path& path);

Hdf5Id open_group(const Hdf5Id& parent, const std::string& path);
Hdf5Id create_group(const Hdf5Id& parent, std::string_view name);
/// Filters: shuffle, gzip 4, fletcher32.
Hdf5Id create_data_set(const Hdf5Id& parent, const Hdf5DataSet& data_set);
Hdf5Id open_data_set(const Hdf5Id& parent, const std::string& path);
std::vector<hsize_t> data_set_dims(const Hdf5Id& data_set);
/// "float32", "UTF-8 string": as Hdf5Element names types.
std::string data_set_type(const Hdf5Id& data_set);
/// All elements, dense. Of a number type that T is not, converted.
template <typename T>
std::vector<T> read_numbers(const Hdf5Id& data_set);
/// Of a data set of fixed-length text, padding taken off.
std::vector<std::string> read_texts(const Hdf5Id& data_set);
/// Names of what is in a group, in the order it was made.
std::vector<std::string> member_names(const Hdf5Id& group);
bool has_member(const Hdf5Id& group, const std::string& name);

/// Makes a 1-D data set a dimension scale.
void make_scale(const Hdf5Id& data_set, const std::string& name);
void attach_scale(const Hdf5Id& data_set, unsigned dimension, const Hdf5Id& scale);
bool is_attached(const Hdf5Id& data_set, unsigned dimension, const Hdf5Id& scale);

/// Text attributes have variable length: then every reader gives them as text.
void write_attribute(const Hdf5Id& object, std::string_view name, std::string_view text);
void write_attribute(
    const Hdf5Id& object, std::string_view name, const std::vector<std::string>& texts);
/// A scalar, or a list of one where `element` is followed by dims [1].
void write_attribute(
    const Hdf5Id& object,
    std::string_view name,
    const Hdf5Element& element,
    const void* value,
    const std::vector<hsize_t>& dims);
template <typename T>
requires std::is_arithmetic_v<T>
void write_attribute(const Hdf5Id& object, std::string_view name, T value) {
  write_attribute(object, name, hdf5_element<T>(), &value, {});
}
bool has_attribute(const Hdf5Id& object, const std::string& name);
std::string read_text_attribute(const Hdf5Id& object, const std::string& name);
int64_t read_number_attribute(const Hdf5Id& object, const std::string& name);

}  // namespace prune_sweep
