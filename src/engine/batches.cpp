#include "engine/batches.hpp"

#include <algorithm>
#include <limits>

namespace prune_sweep {

namespace {

template <typename F>
bool holds_for_all_parts(size_t num_variants, size_t num_parts, F f) {
  for (size_t i = 0; i < num_parts; ++i) {
    if (!f(part_of(num_variants, num_parts, i))) return false;
  }
  return true;
}

}  // namespace

Part part_of(size_t size, size_t num_parts, size_t index) {
  const size_t length = size / num_parts;
  const size_t num_longer = size % num_parts;
  return {index * length + std::min(index, num_longer), length + (index < num_longer ? 1 : 0)};
}

Cut choose_cut(
    size_t num_variants,
    size_t num_requests,
    const std::function<bool(Part variants, size_t num_requests)>& fits,
    const std::function<double(Part variants, size_t num_requests)>& cost) {
  Cut best{num_variants, num_requests};
  double least = std::numeric_limits<double>::infinity();
  for (size_t parts = 1; parts <= num_variants; ++parts) {
    const auto all_fit = [&](size_t count) {
      return holds_for_all_parts(
          num_variants, parts, [&](Part variants) { return fits(variants, count); });
    };
    // The fewest parts of the requests that fit.
    size_t low = 1;
    size_t high = num_requests;
    const auto largest = [&](size_t request_parts) {
      return part_of(num_requests, request_parts, 0).count;
    };
    if (!all_fit(largest(high))) continue;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (all_fit(largest(middle))) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    double total = 0;
    for (size_t v = 0; v < parts; ++v) {
      for (size_t r = 0; r < low; ++r) {
        total += cost(part_of(num_variants, parts, v), part_of(num_requests, low, r).count);
      }
    }
    if (total < least) {
      least = total;
      best = {parts, low};
    }
    if (low == 1) break;  // smaller parts only cost more
  }
  return best;
}

}  // namespace prune_sweep
