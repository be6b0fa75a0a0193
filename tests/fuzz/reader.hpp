/// \file
/// What every fuzzed reader has to keep: input is taken, or refused by an Error that is one line
/// and says that the input is bad. Anything else that is thrown ends the process, which is a
/// finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "prune_sweep/core/check.hpp"

/// Entry point of libFuzzer, one per program; replay.cpp calls it, too.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace prune_sweep {

/// Ends the process unless `holds`.
inline void expect(bool holds) {
  if (!holds) std::abort();
}

/// Calls `read`(text of the input).
template <typename Read>
int fuzz(const uint8_t* data, size_t size, Read read) {
  try {
    read(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const Error& error) {
    expect(error.status() == ExitStatus::kBadInput);
    expect(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}

}  // namespace prune_sweep
