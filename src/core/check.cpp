#include "prune_sweep/core/check.hpp"

#include <array>
#include <cstdio>
#include <cstring>

namespace prune_sweep {

namespace {

std::string sentence(std::string_view problem, std::string_view why, std::string_view suggestion) {
  std::string text(problem);
  if (!why.empty()) text.append(" (").append(why).append(")");
  if (!suggestion.empty()) text.append(" ").append(suggestion);
  return text;
}

/// Whether a UTF-8 character began before this byte.
bool is_inside_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

void drop_last_character(std::string& line) {
  while (!line.empty() && is_inside_character(line.back())) line.pop_back();
  if (!line.empty()) line.pop_back();
}

}  // namespace

Error::Error(
    ExitStatus status, std::string_view problem, std::string_view why, std::string_view suggestion)
    : std::runtime_error(sentence(problem, why, suggestion)), status_(status) {}

void bad_input(std::string_view problem, std::string_view why, std::string_view suggestion) {
  throw Error(ExitStatus::kBadInput, problem, why, suggestion);
}

void disk_error(std::string_view action, std::string_view path, int error_number) {
  throw Error(
      ExitStatus::kDisk,
      std::string(path) + ": cannot " + std::string(action),
      std::strerror(error_number));
}

std::string printable(std::string_view text, size_t max_bytes) {
  std::string line;
  for (const char byte : text) {
    if (line.size() >= max_bytes) {
      if (is_inside_character(byte)) drop_last_character(line);
      return line + "...";
    }
    const auto code = static_cast<unsigned char>(byte);
    if (code >= 0x20 && code != 0x7f) {
      line += byte;
    } else {
      std::array<char, 5> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\x%02x", code);
      line += escaped.data();
    }
  }
  return line;
}

}  // namespace prune_sweep
