/// \file
/// Rows of a matrix as the right side of a product: transposed, in panels of 64.
#pragma once

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

#include "engine/aligned_vector.hpp"
#include "engine/product_rows.hpp"
#include "engine/row_blocks.hpp"
#include "engine/tiles.hpp"

namespace prune_sweep {

/// Columns of a panel of `rows` rows: 16, 32 or 64; 48 take tiles longer than 64.
constexpr int64_t columns_of_panel(int64_t rows) {
  return std::max<int64_t>(16, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows))));
}

/// Rows [count][width], `stride` elements apart, at most 64, as words [words(width)][columns] at
/// `to`, zeros behind the last.
void pack_panel(
    const float* rows,
    int64_t stride,
    int64_t count,
    int64_t width,
    tiles::Word* to,
    int64_t columns);
void pack_panel(
    const c10::BFloat16* rows,
    int64_t stride,
    int64_t count,
    int64_t width,
    tiles::Word* to,
    int64_t columns);

/// Rows of a matrix.
class Panels {
 public:
  static constexpr int64_t kRows = kRowsOfPanel;

  /// All of them.
  explicit Panels(const ProductRows& rows);
  /// Those of `ranges`, with no panel in two of these.
  Panels(const ProductRows& rows, std::span<const RowRange> ranges);

  tiles::Arithmetic arithmetic() const { return arithmetic_; }
  int64_t width() const { return width_; }
  int64_t size() const { return std::ssize(rows_); }
  /// Rows of a panel that are somebody's; behind them come zeros up to columns().
  RowRange rows_of(int64_t panel) const { return rows_[static_cast<size_t>(panel)]; }
  int64_t columns(int64_t panel) const { return columns_of_panel(rows_of(panel).count); }
  /// The panel's words, [words(width)][columns].
  const tiles::Word* panel(int64_t index) const {
    return words_.data() + index * num_words_ * kRows;
  }

 private:
  tiles::Arithmetic arithmetic_;
  std::vector<RowRange> rows_;  // [panels]
  int64_t width_;
  int64_t num_words_;  ///< of a row
  AlignedVector<tiles::Word> words_;
};

}  // namespace prune_sweep
