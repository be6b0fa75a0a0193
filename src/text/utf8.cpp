#include "prune_sweep/text/utf8.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

struct Sequence {
  size_t length;  // of the sequence, or of the maximal part of it that is there; at least 1
  bool is_valid;
};

// Table 3-7 of the Unicode standard: only the second byte has ranges that depend on the first.
Sequence sequence_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return {1, true};
  if (first < 0xc2 || first > 0xf4) return {1, false};
  const size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  for (size_t i = 1; i < length; ++i) {
    if (at + i == text.size() || byte(at + i) < low || byte(at + i) > high) return {i, false};
    low = 0x80;
    high = 0xbf;
  }
  return {length, true};
}

// White space for str.strip(): bidirectional type B, S or WS, or category Zs.
bool is_python_space(int32_t code) {
  return (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x20) || code == 0x85 ||
         code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
         code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

int32_t code_point_at(std::string_view text, size_t at) {
  utf8proc_int32_t code = -1;
  utf8proc_iterate(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
      static_cast<utf8proc_ssize_t>(text.size() - at),
      &code);
  return code;
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

}  // namespace

size_t find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Sequence sequence = sequence_at(text, at);
    if (!sequence.is_valid) return at;
    at += sequence.length;
  }
  return std::string_view::npos;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Sequence sequence = sequence_at(text, at);
    result += sequence.is_valid ? text.substr(at, sequence.length) : kReplacement;
    at += sequence.length;
  }
  return result;
}

std::string to_nfc(std::string_view text) {
  const bool is_ascii = std::all_of(
      text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) >= 0; });
  if (is_ascii) return std::string(text);
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t length = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
      static_cast<utf8proc_ssize_t>(text.size()),
      &mapped,
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (length < 0) {
    throw Error(ExitStatus::kInternal, "text normalization failed", utf8proc_errmsg(length));
  }
  return {reinterpret_cast<const char*>(mapped), static_cast<size_t>(length)};
}

std::string_view lstrip(std::string_view text) {
  while (!text.empty() && is_python_space(code_point_at(text, 0))) {
    text.remove_prefix(sequence_at(text, 0).length);
  }
  return text;
}

std::string_view strip(std::string_view text) {
  text = lstrip(text);
  while (!text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && is_continuation(text[last])) --last;
    if (!is_python_space(code_point_at(text, last))) break;
    text = text.substr(0, last);
  }
  return text;
}

}  // namespace prune_sweep
