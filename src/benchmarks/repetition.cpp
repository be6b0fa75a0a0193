#include "prune_sweep/benchmarks/repetition.hpp"

#include <algorithm>

namespace prune_sweep {

namespace {

constexpr size_t kLongestPeriod = 64;
constexpr size_t kFewestCopies = 3;
constexpr size_t kFewestTokens = 24;

}  // namespace

bool ends_in_loop(std::span<const int32_t> ids) {
  for (size_t period = 1; period <= kLongestPeriod; ++period) {
    const size_t length = std::max(period * kFewestCopies, kFewestTokens);
    if (length > ids.size()) return false;
    const auto tail = ids.last(length);
    if (std::equal(tail.begin() + static_cast<std::ptrdiff_t>(period), tail.end(), tail.begin())) {
      return true;
    }
  }
  return false;
}

}  // namespace prune_sweep
