#include "prune_sweep/sweep/rates.hpp"

namespace prune_sweep {

void Rates::add(int32_t benchmark, double flops, double elapsed_s) {
  Sums& sums = sums_.at(static_cast<size_t>(benchmark));
  sums.flops += flops;
  sums.elapsed_s += elapsed_s;
}

std::optional<double> Rates::estimate_s(int32_t benchmark, double flops) const {
  const Sums& sums = sums_.at(static_cast<size_t>(benchmark));
  if (sums.flops <= 0) return std::nullopt;
  return sums.elapsed_s / sums.flops * flops;
}

}  // namespace prune_sweep
