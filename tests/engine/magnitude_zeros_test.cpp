#include "engine/pruners/magnitude_zeros.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "catch.hpp"
#include "random_words.hpp"

using namespace prune_sweep;

namespace {

template <typename Word>
void check_ends() {
  for (const size_t size : {1, 255, 2047, 2048, 2049, 5000}) {
    const auto words = random_words<Word>(size, 1);
    // A checkpoint may put weights anywhere.
    std::vector<char> bytes(1 + size * sizeof(Word));
    std::copy_n(reinterpret_cast<const char*>(words.data()), size * sizeof(Word), bytes.data() + 1);
    int64_t num = 0;
    for (size_t i = 0; i < size; ++i) {
      if (magnitude_of(words[i]) != 0x3f82) continue;
      CAPTURE(size, num);
      const auto count = static_cast<int64_t>(size);
      // The same for every number of them: where the last one is, one further.
      ++num;
      REQUIRE(
          end_of_equal(Word{}, bytes.data() + 1, count, 0x3f82, num) ==
          static_cast<int64_t>(i) + 1);
    }
    CHECK(end_of_equal(Word{}, bytes.data() + 1, static_cast<int64_t>(size), 0x3f82, 0) == 0);
  }
}

}  // namespace

TEST_CASE("the place of the n-th element of a magnitude, for every n, at any alignment") {
  check_ends<uint16_t>();
  check_ends<uint32_t>();
}

TEST_CASE("plain operations put zeros where single elements would be zeroed") {
  auto words = random_words<uint16_t>(900, 3);
  const at::Tensor weights = at::from_blob(words.data(), {30, 30}, at::kShort).view(at::kBFloat16);
  for (const uint32_t cut : {0, 0x3f80, 0x3f82, 0x3f90}) {
    for (const int64_t ties : {0, 1, 50, 900}) {
      CAPTURE(cut, ties);
      std::vector<uint16_t> expected = words;
      int64_t left = ties;
      for (uint16_t& word : expected) {
        const uint32_t magnitude = magnitude_of(word);
        if (magnitude < cut || (magnitude == cut && left-- > 0)) word = 0;
      }
      const at::Tensor pruned = plain::with_zeros(weights, cut, ties).view(at::kShort);
      const auto* begin = static_cast<const uint16_t*>(pruned.const_data_ptr());
      CHECK(std::vector<uint16_t>(begin, begin + 900) == expected);
    }
  }
}
