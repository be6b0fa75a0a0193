#include "engine/pruners/magnitude_zeros.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <random>
#include <vector>

#include "catch.hpp"

using namespace prune_sweep;

namespace {

/// Few different magnitudes, so that many are equal; signs at random.
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

/// One element after the other.
template <typename Stored, typename T>
std::vector<T> expected_copy(
    const std::vector<Stored>& stored, const std::vector<T>& from, uint32_t cut, int64_t ties) {
  std::vector<T> to = from;
  for (size_t i = 0; i < stored.size(); ++i) {
    const auto magnitude =
        static_cast<uint32_t>(stored[i] & ~(Stored{1} << (8 * sizeof(Stored) - 1)));
    if (magnitude < cut || (magnitude == cut && ties-- > 0)) to[i] = 0;
  }
  return to;
}

template <typename Stored, typename T>
void check_copies() {
  for (const size_t size : {0, 1, 255, 256, 257, 1000, 5000}) {
    const auto stored = random_words<Stored>(size, 1);
    const auto from = random_words<T>(size, 2);
    // A checkpoint may put weights anywhere.
    std::vector<char> bytes(1 + size * sizeof(Stored));
    const auto* const begin = reinterpret_cast<const char*>(stored.data());
    std::copy_n(begin, size * sizeof(Stored), bytes.data() + 1);
    for (const uint32_t cut : {0, 0x3f80, 0x3f82, 0x3f84, 0x3f90}) {
      for (const int64_t ties : {0, 1, 100, 333, 5000}) {
        CAPTURE(size, cut, ties);
        std::vector<T> to(size, T{7});
        const auto count = static_cast<int64_t>(size);
        copy_with_zeros(Stored{}, bytes.data() + 1, from.data(), count, cut, ties, to.data());
        CHECK(to == expected_copy(stored, from, cut, ties));
      }
    }
  }
}

}  // namespace

TEST_CASE("a pruned copy has zeros where they belong, in every type, at any alignment") {
  check_copies<uint16_t, uint16_t>();
  check_copies<uint16_t, uint32_t>();
  check_copies<uint32_t, uint16_t>();
  check_copies<uint32_t, uint32_t>();
}

TEST_CASE("plain operations put the zeros in the same places") {
  auto words = random_words<uint16_t>(900, 3);
  const at::Tensor weights = at::from_blob(words.data(), {30, 30}, at::kShort).view(at::kBFloat16);
  for (const uint32_t cut : {0, 0x3f80, 0x3f82, 0x3f90}) {
    for (const int64_t ties : {0, 1, 50, 900}) {
      CAPTURE(cut, ties);
      const at::Tensor pruned = plain::with_zeros(weights, cut, ties).view(at::kShort);
      const auto* begin = static_cast<const uint16_t*>(pruned.const_data_ptr());
      CHECK(std::vector<uint16_t>(begin, begin + 900) == expected_copy(words, words, cut, ties));
    }
  }
}
