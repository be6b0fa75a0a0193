/// \file
/// Expected values that tests/data/make_reference.py took from CPython, tokenizers and
/// lm-evaluation-harness.
#pragma once

#include <string>
#include <vector>

#include "prune_sweep/text/reader.hpp"

using Json = nlohmann::ordered_json;

/// The lines of a file of the reference archive.
inline std::vector<Json> reference(const std::string& name) {
  const std::string text =
      prune_sweep::read_file(std::string(PRUNE_SWEEP_DATA_DIR) + "/reference/" + name);
  std::vector<Json> rows;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    rows.push_back(Json::parse(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return rows;
}

inline std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

inline std::string utf8_of(int32_t code) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xc0 | code >> 6), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
}
