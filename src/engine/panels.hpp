/// \file
/// Rows of activations as products of tiles want them: transposed, in panels of 64 rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include "engine/kernels.hpp"
#include "engine/row_blocks.hpp"
#include "engine/tiles.hpp"

namespace prune_sweep {

class Panels {
 public:
  static constexpr int64_t kRows = kRowsOfPanel;

  explicit Panels(tiles::Arithmetic arithmetic) : arithmetic_(arithmetic) {}

  /// Room for [rows, width]; what was there before is gone. Memory is kept for the next time.
  void reshape(int64_t rows, int64_t width);
  /// Takes `rows` [rows, width], contiguous, after `norm`.
  void pack(const at::Tensor& rows, const RowNorm& norm = {});

  tiles::Arithmetic arithmetic() const { return arithmetic_; }
  int64_t num_rows() const { return rows_; }
  int64_t width() const { return width_; }
  int64_t size() const { return (rows_ + kRows - 1) / kRows; }
  /// Rows of a panel that are somebody's; behind them come zeros up to columns().
  int64_t rows_of(int64_t panel) const { return std::min(kRows, rows_ - panel * kRows); }
  /// Columns of the panel: its rows, rounded up to 16, 32 or 64; 48 take tiles longer than 64.
  int64_t columns(int64_t panel) const {
    return std::max<int64_t>(
        16, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows_of(panel)))));
  }
  int64_t num_columns() const {
    return rows_ == 0 ? 0 : (size() - 1) * kRows + columns(size() - 1);
  }
  /// The panel's words, [words(width)][columns].
  tiles::Word* panel(int64_t index) { return words() + index * num_words_ * kRows; }
  const tiles::Word* panel(int64_t index) const { return words() + index * num_words_ * kRows; }

 private:
  tiles::Word* words() const { return static_cast<tiles::Word*>(words_.data_ptr()); }

  tiles::Arithmetic arithmetic_;
  int64_t rows_ = 0;
  int64_t width_ = 0;
  int64_t num_words_ = 0;  ///< of a row
  at::Tensor words_;       // int32
};

}  // namespace prune_sweep
