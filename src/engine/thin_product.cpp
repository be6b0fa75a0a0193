#include "engine/thin_product.hpp"

#include <c10/util/BFloat16.h>

#include <type_traits>

#include "engine/lanes.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;
using tiles::Word;

/// Blocks lie one behind the other and come from memory once: what is read next is asked for early,
/// since the processor's own guess ends with the page.
constexpr int64_t kWordsAhead = 1024;

/// What one call works on.
struct Operands {
  tiles::Matrix<const float> a;
  const Word* b;
  int64_t n;
  int64_t num_words;  ///< of k
  tiles::Matrix<float> c;
  tiles::Into into;
};

PRUNE_SWEEP_INLINE LaneBits load_words(const Word* from, int64_t count) {
  LaneBits bits{};
  std::memcpy(&bits, from, sizeof(Word) * static_cast<size_t>(count));
  return bits;
}

/// kRows rows from `row` on and kWidth lanes from `column` on, `count` of them in the last.
template <typename C, int kRows, int kWidth>
PRUNE_SWEEP_INLINE void multiply_part(
    const Operands& x, int64_t row, int64_t column, int64_t count) {
  const float* const a = x.a.data + row * x.a.stride;
  float* const c = x.c.data + row * x.c.stride + column;
  const auto lanes_of = [count](int j) { return j + 1 < kWidth ? kLanes : count; };
  Lanes sums[kRows][kWidth]{};
  for (int r = 0; r < kRows && x.into == tiles::Into::kAdd; ++r) {
    for (int j = 0; j < kWidth; ++j)
      sums[r][j] = load(c + r * x.c.stride + j * kLanes, lanes_of(j));
  }
  for (int64_t word = 0; word < x.num_words; ++word) {
    for (int j = 0; j < kWidth; ++j) {
      const Word* const at = x.b + word * x.n + column + j * kLanes;
      __builtin_prefetch(at + kWordsAhead);
      const LaneBits words = load_words(at, lanes_of(j));
      for (int r = 0; r < kRows; ++r) {
        const float* const of_row = a + r * x.a.stride + word * tiles::kPerWord<C>;
        if constexpr (std::is_same_v<C, BFloat16>) {
          sums[r][j] += from_bits(words << 16) * of_row[0];
          sums[r][j] += from_bits(words & static_cast<int32_t>(0xffff0000)) * of_row[1];
        } else {
          sums[r][j] += from_bits(words) * of_row[0];
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kWidth; ++j)
      store(c + r * x.c.stride + j * kLanes, sums[r][j], lanes_of(j));
  }
}

/// All columns from `column` on that kWidth lanes fill, then fewer at a time.
template <typename C, int kRows, int kWidth>
PRUNE_SWEEP_INLINE void multiply_columns(const Operands& x, int64_t row, int64_t column) {
  for (; column + kWidth * kLanes <= x.n; column += kWidth * kLanes) {
    multiply_part<C, kRows, kWidth>(x, row, column, kLanes);
  }
  if constexpr (kWidth > 1) {
    multiply_columns<C, kRows, kWidth / 2>(x, row, column);
  } else if (column < x.n) {
    multiply_part<C, kRows, 1>(x, row, column, x.n - column);
  }
}

template <typename C, int kRows>
PRUNE_SWEEP_INLINE void multiply_rows(const Operands& x, int64_t row) {
  // Sums in as many registers as there are but for those of operands.
  multiply_columns<C, kRows, 16 / kRows>(x, row, 0);
}

template <typename C>
PRUNE_SWEEP_INLINE void multiply_all(const Operands& x, int64_t m) {
  int64_t row = 0;
  for (; row + 4 <= m; row += 4) multiply_rows<C, 4>(x, row);
  for (; row + 2 <= m; row += 2) multiply_rows<C, 2>(x, row);
  for (; row < m; ++row) multiply_rows<C, 1>(x, row);
}

PRUNE_SWEEP_CLONES void multiply_of(float, const Operands& x, int64_t m) {
  multiply_all<float>(x, m);
}
PRUNE_SWEEP_CLONES void multiply_of(BFloat16, const Operands& x, int64_t m) {
  multiply_all<BFloat16>(x, m);
}

}  // namespace

template <typename C>
void thin_product(
    const tiles::Shape& shape,
    tiles::Matrix<const float> a,
    const Word* b,
    tiles::Matrix<float> c,
    tiles::Into into) {
  multiply_of(C{}, {a, b, shape.n, shape.k / tiles::kPerWord<C>, c, into}, shape.m);
}
template void thin_product<float>(
    const tiles::Shape&,
    tiles::Matrix<const float>,
    const Word*,
    tiles::Matrix<float>,
    tiles::Into);
template void thin_product<BFloat16>(
    const tiles::Shape&,
    tiles::Matrix<const float>,
    const Word*,
    tiles::Matrix<float>,
    tiles::Into);

}  // namespace prune_sweep
