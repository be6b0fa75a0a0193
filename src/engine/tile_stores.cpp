#include "engine/tile_stores.hpp"

#include <array>
#include <type_traits>

#include "engine/kernel_loops.hpp"
#include "engine/lanes.hpp"
#include "engine/transpose.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;

/// Calls use(rows of out, [16] lanes of one row, number of them, column) for a tile's elements,
/// sixteen of a row at a time.
template <typename Use>
PRUNE_SWEEP_INLINE void for_rows_of(
    const float* sums, int64_t count, int64_t columns, int64_t rows, Use use) {
  for (int64_t row = 0; row < rows; row += kLanes) {
    const int64_t num_rows = rows - row < kLanes ? rows - row : kLanes;
    for (int64_t column = 0; column < count; column += kLanes) {
      const int64_t num_columns = count - column < kLanes ? count - column : kLanes;
      LaneSquare square{};
      for (int64_t i = 0; i < num_columns; ++i) {
        std::memcpy(
            &square[static_cast<size_t>(i)], sums + (column + i) * columns + row, sizeof(LaneBits));
      }
      transpose(square);
      for (int64_t i = 0; i < num_rows; ++i) {
        use(row + i, column, from_bits(square[static_cast<size_t>(i)]), num_columns);
      }
    }
  }
}

template <typename T>
PRUNE_SWEEP_INLINE void store_rows(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    const T* bias,
    T* out,
    int64_t out_width) {
  for_rows_of(
      sums,
      count,
      columns,
      rows,
      [&](int64_t row, int64_t column, Lanes sum, int64_t n) PRUNE_SWEEP_INLINE_LAMBDA {
        if (bias != nullptr) sum += load(bias + column, n);
        store(out + row * out_width + column, sum, n);
      });
}

template <typename T>
PRUNE_SWEEP_INLINE void add_rows(
    const float* sums, int64_t count, int64_t columns, int64_t rows, T* out, int64_t out_width) {
  for_rows_of(
      sums,
      count,
      columns,
      rows,
      [&](int64_t row, int64_t column, Lanes sum, int64_t n) PRUNE_SWEEP_INLINE_LAMBDA {
        T* at = out + row * out_width + column;
        store(at, load(at, n) + rounded_to<T>(sum), n);
      });
}

/// SiLU(gate) * up of two tiles as words of a panel [any][columns] of the next product.
template <typename T, typename C>
PRUNE_SWEEP_INLINE void gate_words(
    const float* gate, const float* up, int64_t count, int64_t columns, tiles::Word* to) {
  const auto inner = [&](int64_t row, int64_t column) PRUNE_SWEEP_INLINE_LAMBDA {
    const int64_t at = row * columns + column;
    return silu_mul_lanes<T>(rounded_to<T>(load(gate + at)), rounded_to<T>(load(up + at)));
  };
  for (int64_t row = 0; row < count; row += tiles::kPerWord<C>) {
    for (int64_t column = 0; column < columns; column += kLanes) {
      LaneBits words;
      if constexpr (std::is_same_v<C, BFloat16>) {
        words = bfloat16_bits(inner(row, column)) & 0xffff;
        if (row + 1 < count) words |= bfloat16_bits(inner(row + 1, column)) << 16;
      } else {
        words = to_bits(rounded_to<T>(inner(row, column)));
      }
      std::memcpy(to + row / tiles::kPerWord<C> * columns + column, &words, sizeof words);
    }
  }
}

}  // namespace

PRUNE_SWEEP_CLONES void store_tile(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    const float* bias,
    float* out,
    int64_t out_width) {
  store_rows(sums, count, columns, rows, bias, out, out_width);
}

PRUNE_SWEEP_CLONES void store_tile(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    const BFloat16* bias,
    BFloat16* out,
    int64_t out_width) {
  store_rows(sums, count, columns, rows, bias, out, out_width);
}

PRUNE_SWEEP_CLONES void add_tile(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    float* out,
    int64_t out_width) {
  add_rows(sums, count, columns, rows, out, out_width);
}

PRUNE_SWEEP_CLONES void add_tile(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    BFloat16* out,
    int64_t out_width) {
  add_rows(sums, count, columns, rows, out, out_width);
}

PRUNE_SWEEP_CLONES void gate_tile(
    float,
    float,
    const float* gate,
    const float* up,
    int64_t count,
    int64_t columns,
    tiles::Word* to) {
  gate_words<float, float>(gate, up, count, columns, to);
}

PRUNE_SWEEP_CLONES void gate_tile(
    BFloat16,
    float,
    const float* gate,
    const float* up,
    int64_t count,
    int64_t columns,
    tiles::Word* to) {
  gate_words<BFloat16, float>(gate, up, count, columns, to);
}

PRUNE_SWEEP_CLONES void gate_tile(
    BFloat16,
    BFloat16,
    const float* gate,
    const float* up,
    int64_t count,
    int64_t columns,
    tiles::Word* to) {
  gate_words<BFloat16, BFloat16>(gate, up, count, columns, to);
}

}  // namespace prune_sweep
