#include "engine/row_stores.hpp"

#include <cstring>
#include <type_traits>

#include "engine/kernel_loops.hpp"
#include "engine/lanes.hpp"
#include "engine/transpose.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;

/// Calls use(row, column, number of lanes) for all elements, sixteen of a row at a time.
template <typename Use>
PRUNE_SWEEP_INLINE void for_lanes(const SumsShape& shape, Use use) {
  for (int64_t row = 0; row < shape.rows; ++row) {
    for_sixteens(
        shape.count,
        [&](int64_t column) PRUNE_SWEEP_INLINE_LAMBDA { use(row, column, kLanes); },
        [&](int64_t column, int64_t n) PRUNE_SWEEP_INLINE_LAMBDA { use(row, column, n); });
  }
}

template <typename T>
PRUNE_SWEEP_INLINE void store_all(
    const float* sums, const SumsShape& shape, const T* bias, T* out, int64_t out_stride) {
  for_lanes(shape, [&](int64_t row, int64_t column, int64_t n) PRUNE_SWEEP_INLINE_LAMBDA {
    Lanes sum = load(sums + row * shape.stride + column, n);
    if (bias != nullptr) sum += load(bias + column, n);
    store(out + row * out_stride + column, sum, n);
  });
}

template <typename T>
PRUNE_SWEEP_INLINE void add_all(
    const float* sums, const SumsShape& shape, T* out, int64_t out_stride) {
  for_lanes(shape, [&](int64_t row, int64_t column, int64_t n) PRUNE_SWEEP_INLINE_LAMBDA {
    T* const at = out + row * out_stride + column;
    store(at, load(at, n) + rounded_to<T>(load(sums + row * shape.stride + column, n)), n);
  });
}

template <typename T, typename C>
PRUNE_SWEEP_INLINE void gate_all(
    const float* gate, const float* up, const SumsShape& shape, C* out, int64_t out_stride) {
  for_lanes(shape, [&](int64_t row, int64_t column, int64_t n) PRUNE_SWEEP_INLINE_LAMBDA {
    const int64_t at = row * shape.stride + column;
    const Lanes inner =
        silu_mul_lanes<T>(rounded_to<T>(load(gate + at, n)), rounded_to<T>(load(up + at, n)));
    // What is multiplied in the type it is stored in is rounded to it by storing.
    store(out + row * out_stride + column, std::is_same_v<T, C> ? inner : rounded_to<T>(inner), n);
  });
}

}  // namespace

PRUNE_SWEEP_CLONES void store_rows(
    const float* sums, const SumsShape& shape, const float* bias, float* out, int64_t out_stride) {
  store_all(sums, shape, bias, out, out_stride);
}
PRUNE_SWEEP_CLONES void store_rows(
    const float* sums,
    const SumsShape& shape,
    const BFloat16* bias,
    BFloat16* out,
    int64_t out_stride) {
  store_all(sums, shape, bias, out, out_stride);
}

PRUNE_SWEEP_CLONES void add_rows(
    const float* sums, const SumsShape& shape, float* out, int64_t out_stride) {
  add_all(sums, shape, out, out_stride);
}
PRUNE_SWEEP_CLONES void add_rows(
    const float* sums, const SumsShape& shape, BFloat16* out, int64_t out_stride) {
  add_all(sums, shape, out, out_stride);
}

PRUNE_SWEEP_CLONES void gate_rows(
    float,
    const float* gate,
    const float* up,
    const SumsShape& shape,
    float* out,
    int64_t out_stride) {
  gate_all<float>(gate, up, shape, out, out_stride);
}
PRUNE_SWEEP_CLONES void gate_rows(
    BFloat16,
    const float* gate,
    const float* up,
    const SumsShape& shape,
    float* out,
    int64_t out_stride) {
  gate_all<BFloat16>(gate, up, shape, out, out_stride);
}
PRUNE_SWEEP_CLONES void gate_rows(
    BFloat16,
    const float* gate,
    const float* up,
    const SumsShape& shape,
    BFloat16* out,
    int64_t out_stride) {
  gate_all<BFloat16>(gate, up, shape, out, out_stride);
}

PRUNE_SWEEP_CLONES void turn_tile(
    const float* tile, int64_t columns, int64_t rows, int64_t count, float* sums, int64_t stride) {
  for (int64_t row = 0; row < rows; row += kLanes) {
    const int64_t num_rows = rows - row < kLanes ? rows - row : kLanes;
    for (int64_t first = 0; first < count; first += kLanes) {
      const int64_t n = count - first < kLanes ? count - first : kLanes;
      LaneSquare square{};
      for (int64_t i = 0; i < n; ++i) {
        std::memcpy(
            &square[static_cast<size_t>(i)], tile + (first + i) * columns + row, sizeof(LaneBits));
      }
      transpose(square);
      for (int64_t i = 0; i < num_rows; ++i) {
        store(sums + (row + i) * stride + first, from_bits(square[static_cast<size_t>(i)]), n);
      }
    }
  }
}

}  // namespace prune_sweep
