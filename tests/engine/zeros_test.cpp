#include "engine/zeros.hpp"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "catch.hpp"
#include "random_words.hpp"

using namespace prune_sweep;

namespace {

/// Rows [first, first + count) of a weight [rows, width], one element after the other.
template <typename Stored, typename Word>
std::vector<Word> expected_rows(
    const std::vector<Stored>& stored,
    const std::vector<Word>& from,
    const std::vector<ZeroCut>& cuts,
    int64_t width,
    int64_t first,
    int64_t count) {
  std::vector<Word> to;
  for (int64_t i = first * width; i < (first + count) * width; ++i) {
    const bool is_one = cuts.size() == 1;
    const ZeroCut& cut = cuts[is_one ? 0 : static_cast<size_t>(i / width)];
    const int64_t place = is_one ? i : i % width;
    const uint32_t magnitude = magnitude_of(stored[static_cast<size_t>(i)]);
    const bool is_zero =
        magnitude < cut.magnitude || (magnitude == cut.magnitude && place < cut.first_kept);
    to.push_back(is_zero ? Word{0} : from[static_cast<size_t>(i)]);
  }
  return to;
}

/// T is what is computed in.
template <typename Stored, typename T>
void check_rows() {
  using Word = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;
  constexpr int64_t kRows = 7;
  for (const int64_t width : {1, 127, 128, 300}) {
    const auto size = static_cast<size_t>(kRows * width);
    const auto stored = random_words<Stored>(size, 1);
    const auto from = random_words<Word>(size, 2);
    // A checkpoint may put weights anywhere.
    std::vector<char> bytes(1 + size * sizeof(Stored));
    std::copy_n(
        reinterpret_cast<const char*>(stored.data()), size * sizeof(Stored), bytes.data() + 1);

    std::vector<std::vector<ZeroCut>> cuts;
    for (const uint32_t magnitude : {0, 0x3f80, 0x3f82, 0x3f84, 0x3f90}) {
      for (const int64_t first_kept :
           {int64_t{0}, int64_t{1}, 2 * width, 5 * width / 2, kRows * width}) {
        cuts.push_back({{magnitude, first_kept}});
      }
    }
    std::vector<ZeroCut> of_rows;
    for (int64_t row = 0; row < kRows; ++row) {
      of_rows.push_back({static_cast<uint32_t>(0x3f80 + row), row * width / 5});
    }
    cuts.push_back(of_rows);

    for (const std::vector<ZeroCut>& each : cuts) {
      const WeightZeros zeros{bytes.data() + 1, sizeof(Stored), each};
      for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, kRows}, {2, 3}}) {
        CAPTURE(width, each.front().magnitude, each.front().first_kept, each.size(), first);
        const int64_t stride = width + 5;
        std::vector<T> to(static_cast<size_t>(count * stride));
        std::vector<T> rows(size);
        std::memcpy(rows.data(), from.data(), size * sizeof(T));
        zeros.copy(rows.data(), width, {first, count}, to.data(), stride);
        std::vector<Word> copied;
        for (int64_t row = 0; row < count; ++row) {
          std::vector<Word> words(static_cast<size_t>(width));
          std::memcpy(words.data(), to.data() + row * stride, words.size() * sizeof(Word));
          copied.insert(copied.end(), words.begin(), words.end());
        }
        CHECK(copied == expected_rows(stored, from, each, width, first, count));
      }
    }
  }
}

}  // namespace

TEST_CASE("rows have zeros where they belong, in every type, with one cut or one of every row") {
  check_rows<uint16_t, c10::BFloat16>();
  check_rows<uint16_t, c10::Half>();
  check_rows<uint16_t, float>();
  check_rows<uint32_t, c10::BFloat16>();
  check_rows<uint32_t, float>();
}
