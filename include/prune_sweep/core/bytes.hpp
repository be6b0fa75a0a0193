/// \file
/// Values to bytes and back: little-endian, length-prefixed strings and lists, every read checked.
/// Journal and messages are written with it.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

static_assert(
    std::endian::native == std::endian::little, "journals and messages are little-endian");

template <typename T>
concept PlainNumber = std::is_arithmetic_v<T> || std::is_enum_v<T>;

/// Appends values to a byte string.
class ByteWriter {
 public:
  template <PlainNumber T>
  ByteWriter& put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  ByteWriter& put(std::string_view text) {
    put(static_cast<uint32_t>(text.size()));
    bytes_.append(text);
    return *this;
  }
  template <typename T>
  ByteWriter& put(const std::vector<T>& values) {
    put(static_cast<uint32_t>(values.size()));
    for (const T& value : values) put(value);
    return *this;
  }

  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Reads values in the order they were put. Throws Error (kInternal) when the bytes end early.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  T get() {
    if constexpr (PlainNumber<T>) {
      T value;
      std::memcpy(&value, take(sizeof value).data(), sizeof value);
      return value;
    } else if constexpr (std::is_same_v<T, std::string>) {
      return std::string(take(get<uint32_t>()));
    } else {
      T values;
      const auto count = get<uint32_t>();
      // A damaged count must not allocate: an element takes its own size, or that of its length.
      using Element = typename T::value_type;
      constexpr size_t kSmallest = PlainNumber<Element> ? sizeof(Element) : sizeof(uint32_t);
      if (count > rest_.size() / kSmallest) ended();
      values.reserve(count);
      for (uint32_t i = 0; i < count; ++i) values.push_back(get<Element>());
      return values;
    }
  }

  bool at_end() const { return rest_.empty(); }
  size_t num_bytes_left() const { return rest_.size(); }

 private:
  [[noreturn]] static void ended() {
    throw Error(ExitStatus::kInternal, "message or journal entry", "ends in the middle of a value");
  }
  std::string_view take(size_t count) {
    if (count > rest_.size()) ended();
    const std::string_view bytes = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return bytes;
  }

  std::string_view rest_;
};

}  // namespace prune_sweep
