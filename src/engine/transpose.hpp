/// \file
/// Sixteen by sixteen words, rows to columns.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "engine/lanes.hpp"

namespace prune_sweep {

using LaneSquare = std::array<LaneBits, kLanes>;

namespace transpose_parts {

/// Which lane of (a, b) goes to lane j when blocks of `kStep` change places.
template <int kStep, bool kLower>
constexpr int source_lane(int j) {
  const bool from_first = (j & kStep) == 0;
  if (kLower) return from_first ? j : 16 + j - kStep;
  return from_first ? j + kStep : 16 + j;
}
template <int kStep, bool kLower, int... j>
PRUNE_SWEEP_INLINE LaneBits pick(LaneBits a, LaneBits b, std::integer_sequence<int, j...>) {
  return __builtin_shufflevector(a, b, source_lane<kStep, kLower>(j)...);
}
template <int kStep>
PRUNE_SWEEP_INLINE void exchange(LaneSquare& square) {
  constexpr auto kAll = std::make_integer_sequence<int, 16>{};
  for (size_t i = 0; i < 16; ++i) {
    if ((i & kStep) != 0) continue;
    const LaneBits a = square[i];
    const LaneBits b = square[i + kStep];
    square[i] = pick<kStep, true>(a, b, kAll);
    square[i + kStep] = pick<kStep, false>(a, b, kAll);
  }
}

}  // namespace transpose_parts

PRUNE_SWEEP_INLINE void transpose(LaneSquare& square) {
  transpose_parts::exchange<1>(square);
  transpose_parts::exchange<2>(square);
  transpose_parts::exchange<4>(square);
  transpose_parts::exchange<8>(square);
}

/// The first `count` words at `from`, zeros behind them.
PRUNE_SWEEP_INLINE LaneBits load_words(const uint32_t* from, int64_t count) {
  LaneBits lanes{};
  if (count >= kLanes) {
    std::memcpy(&lanes, from, sizeof lanes);
  } else if (count > 0) {
    std::memcpy(&lanes, from, sizeof(uint32_t) * static_cast<size_t>(count));
  }
  return lanes;
}

/// Rows [16][width] at `rows` to columns: to[w * to_stride + i] = rows[i][w].
PRUNE_SWEEP_INLINE void transpose_rows(
    const std::array<const uint32_t*, 16>& rows, int64_t width, uint32_t* to, int64_t to_stride) {
  for (int64_t first = 0; first < width; first += kLanes) {
    LaneSquare square;
    for (size_t i = 0; i < 16; ++i) square[i] = load_words(rows[i] + first, width - first);
    transpose(square);
    const int64_t count = width - first < kLanes ? width - first : kLanes;
    for (int64_t w = 0; w < count; ++w) {
      std::memcpy(to + (first + w) * to_stride, &square[static_cast<size_t>(w)], sizeof(LaneBits));
    }
  }
}

}  // namespace prune_sweep
