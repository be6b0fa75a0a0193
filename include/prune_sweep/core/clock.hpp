/// \file
/// The two clocks: one that tells the date, one that never jumps.
#pragma once

#include <chrono>

namespace prune_sweep {

/// Seconds since 1970-01-01 UTC.
inline double now_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// Seconds since some moment; for differences.
inline double monotonic_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace prune_sweep
