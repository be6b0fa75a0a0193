#include "benchmarks/fewshot.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

// init_by_array of mt19937ar.c for a key of one word. std::mersenne_twister_engine takes its whole
// state from a seed sequence, so that only the seeding, which differs from std::mt19937(seed), is
// written here.
class InitByArray {
 public:
  using result_type = std::uint_least32_t;

  explicit InitByArray(uint32_t key) : key_(key) {}

  template <typename Iterator>
  void generate(Iterator begin, Iterator end) {
    const auto size = static_cast<size_t>(end - begin);
    std::vector<uint32_t> state(size);
    state[0] = 19650218;
    for (size_t i = 1; i < size; ++i) {
      state[i] = 1812433253 * mixed(state[i - 1]) + static_cast<uint32_t>(i);
    }
    size_t i = 1;
    const auto advance = [&] {
      if (++i == size) {
        state[0] = state[size - 1];
        i = 1;
      }
    };
    for (size_t step = 0; step < size; ++step, advance()) {
      state[i] = (state[i] ^ (mixed(state[i - 1]) * 1664525)) + key_;
    }
    for (size_t step = 1; step < size; ++step, advance()) {
      state[i] = (state[i] ^ (mixed(state[i - 1]) * 1566083941)) - static_cast<uint32_t>(i);
    }
    state[0] = 0x80000000;
    std::copy(state.begin(), state.end(), begin);
  }

  // The rest of what the standard asks of a seed sequence.
  size_t size() const { return 1; }
  template <typename Iterator>
  void param(Iterator out) const {
    *out = key_;
  }

 private:
  static uint32_t mixed(uint32_t word) { return word ^ (word >> 30); }

  uint32_t key_;
};

}  // namespace

PythonRandom::PythonRandom(uint32_t seed) {
  InitByArray sequence(seed);
  engine_.seed(sequence);
}

uint32_t PythonRandom::bits(int count) { return static_cast<uint32_t>(engine_()) >> (32 - count); }

uint32_t PythonRandom::below(uint32_t n) {
  const auto count = static_cast<int>(std::bit_width(n));
  uint32_t drawn = bits(count);
  while (drawn >= n) drawn = bits(count);
  return drawn;
}

std::vector<uint32_t> PythonRandom::sample(uint32_t n, uint32_t k) {
  if (k > n) {
    throw Error(ExitStatus::kInternal, "sample larger than its population");
  }
  // CPython draws from a list where a list of n is smaller than a set of k.
  uint64_t set_size = 21;
  if (k > 5) {
    uint64_t table = 1;
    while (table < uint64_t{3} * k) table *= 4;
    set_size += table;
  }
  std::vector<uint32_t> result;
  result.reserve(k);
  if (n <= set_size) {
    std::vector<uint32_t> pool(n);
    std::iota(pool.begin(), pool.end(), 0U);
    for (uint32_t i = 0; i < k; ++i) {
      const uint32_t j = below(n - i);
      result.push_back(pool[j]);
      pool[j] = pool[n - i - 1];
    }
  } else {
    while (result.size() < k) {
      const uint32_t j = below(n);
      if (std::find(result.begin(), result.end(), j) == result.end()) result.push_back(j);
    }
  }
  return result;
}

}  // namespace prune_sweep
