/// \file
/// The generator behind lm-evaluation-harness's choice of few-shot exemplars.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace prune_sweep {

/// CPython's `random.Random(seed)`: MT19937 seeded by init_by_array (Matsumoto and Nishimura's
/// mt19937ar.c; Modules/_randommodule.c), and the integer draws of Lib/random.py of CPython 3.11
/// to 3.14.
class PythonRandom {
 public:
  explicit PythonRandom(uint32_t seed);

  /// `getrandbits(count)`; count in [1, 32].
  uint32_t bits(int count);
  /// `randrange(n)`: uniform in [0, n); n in [1, 2^32).
  uint32_t below(uint32_t n);
  /// `sample(range(n), k)`: k different numbers below n, in the order drawn; k <= n.
  std::vector<uint32_t> sample(uint32_t n, uint32_t k);

 private:
  std::mt19937 engine_;
};

/// The seed of lm-evaluation-harness for exemplars, unless told otherwise.
inline constexpr uint32_t kFewshotSeed = 1234;

}  // namespace prune_sweep
