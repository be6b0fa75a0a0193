/// \file
/// Stored weights of few different magnitudes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace prune_sweep {

/// Magnitudes 0x3f80 to 0x3f84, so that many are equal; signs at random.
template <typename Word>
std::vector<Word> random_words(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<Word> words(size);
  for (Word& word : words) {
    const auto sign = static_cast<Word>((random() & 1) << (8 * sizeof(Word) - 1));
    word = static_cast<Word>(sign | (0x3f80 + random() % 5));
  }
  return words;
}

template <typename Word>
uint32_t magnitude_of(Word word) {
  return static_cast<uint32_t>(word & ~(Word{1} << (8 * sizeof(Word) - 1)));
}

}  // namespace prune_sweep
