/// \file
/// The one error type of the program and its message grammar: *problem (why) suggestion*.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace prune_sweep {

/// What the program tells its caller when it leaves. The values are a contract (README, "Exit
/// status").
enum class ExitStatus : int {
  kComplete = 0,    ///< every record is in the archive
  kBadInput = 2,    ///< nothing was started, nothing was written
  kPartial = 3,     ///< some question is quarantined, everything else is complete
  kInternal = 70,   ///< a fault of the program itself
  kDisk = 74,       ///< storage refused to take the results
  kResumable = 75,  ///< stopped early; the same command goes on
};

/// An error that a person can act on. `what()` is one line in the grammar
/// "problem (why) suggestion", for example
/// `jobs/x.ini: sweep.magnitude=140 (percent must be in [0, 100])`.
class Error : public std::runtime_error {
 public:
  Error(
      ExitStatus status,
      std::string_view problem,
      std::string_view why = {},
      std::string_view suggestion = {});

  ExitStatus status() const { return status_; }

 private:
  ExitStatus status_;
};

/// Throws an Error with status kBadInput. `problem` names the file, key or tensor.
[[noreturn]] void bad_input(
    std::string_view problem, std::string_view why = {}, std::string_view suggestion = {});

/// bad_input() unless `holds`. Only where building the texts costs nothing.
inline void require(
    bool holds,
    std::string_view problem,
    std::string_view why = {},
    std::string_view suggestion = {}) {
  if (!holds) bad_input(problem, why, suggestion);
}

/// Throws an Error with status kDisk that names the path and explains `error_number` (an errno).
[[noreturn]] void disk_error(std::string_view action, std::string_view path, int error_number);

/// "a, b, c", for messages that list what would have been accepted.
template <typename Range>
std::string listed(const Range& names) {
  std::string text;
  for (const auto& name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

/// `text` as one printable line, cut to `max_bytes` at the end of a character: control bytes of
/// foreign data become `\xNN`.
std::string printable(std::string_view text, size_t max_bytes = 80);

}  // namespace prune_sweep
