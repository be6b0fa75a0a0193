/// \file
/// Cuts many rows into blocks that go through a sublayer together.
#pragma once

#include <cstdint>

namespace prune_sweep {

/// Consecutive rows.
struct RowRange {
  int64_t first;
  int64_t count;
};

/// Blocks begin at multiples of this, so that none is a few rows more than some.
inline constexpr int64_t kRowsOfPanel = 64;

/// Calls f(first, count) for about equal shares of `num_rows` of at most `block` rows each.
template <typename F>
void for_row_blocks(int64_t num_rows, int64_t block, F f) {
  const int64_t num_blocks = (num_rows + block - 1) / block;
  for (int64_t i = 0; i < num_blocks; ++i) {
    const auto cut = [&](int64_t share) {
      const int64_t row = num_rows * share / num_blocks;
      return share == num_blocks ? row : row / kRowsOfPanel * kRowsOfPanel;
    };
    f(cut(i), cut(i + 1) - cut(i));
  }
}

}  // namespace prune_sweep
