/// \file
/// How long work takes here, learned from what was done.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace prune_sweep {

/// Seconds per estimated FLOP of each benchmark, the mean over all workers. Generation and scoring
/// differ too much for one figure.
class Rates {
 public:
  explicit Rates(size_t num_benchmarks) : sums_(num_benchmarks) {}

  void add(int32_t benchmark, double flops, double elapsed_s);
  /// Nothing while no unit of the benchmark has been done.
  std::optional<double> estimate_s(int32_t benchmark, double flops) const;

 private:
  struct Sums {
    double flops = 0;
    double elapsed_s = 0;
  };
  std::vector<Sums> sums_;
};

}  // namespace prune_sweep
