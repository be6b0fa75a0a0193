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

std::optional<size_t> fewest_parts(size_t size, const std::function<bool(size_t length)>& fits) {
  const auto do_fit = [&](size_t parts) { return fits(part_of(size, parts, 0).count); };
  if (do_fit(1)) return 1;
  if (!do_fit(size)) return std::nullopt;
  size_t too_few = 1;
  size_t enough = size;
  while (enough - too_few > 1) {
    const size_t middle = too_few + (enough - too_few) / 2;
    (do_fit(middle) ? enough : too_few) = middle;
  }
  return enough;
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
    const std::optional<size_t> request_parts = fewest_parts(num_requests, all_fit);
    if (!request_parts) continue;
    double total = 0;
    for (size_t v = 0; v < parts; ++v) {
      for (size_t r = 0; r < *request_parts; ++r) {
        const size_t count = part_of(num_requests, *request_parts, r).count;
        total += cost(part_of(num_variants, parts, v), count);
      }
    }
    if (total < least) {
      least = total;
      best = {parts, *request_parts};
    }
    if (*request_parts == 1) break;  // smaller parts only cost more
  }
  return best;
}

}  // namespace prune_sweep
