/// \file
/// Rows of activations as products take them: normed, in the type they are multiplied in.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "engine/kernels.hpp"
#include "engine/tiles.hpp"

namespace prune_sweep {

class ProductRows {
 public:
  explicit ProductRows(tiles::Arithmetic arithmetic) : arithmetic_(arithmetic) {}

  /// Room for [rows, width]; what was there before is gone. Memory is kept for the next time.
  void reshape(int64_t rows, int64_t width);
  /// Takes `rows` [rows, width], contiguous, after `norm`.
  void take(const at::Tensor& rows, const RowNorm& norm = {});

  tiles::Arithmetic arithmetic() const { return arithmetic_; }
  int64_t num_rows() const { return rows_; }
  int64_t width() const { return width_; }
  /// Elements from a row to the next; behind `width` of them there are zeros up to whole words.
  int64_t stride() const { return stride_; }

  /// Row `index` of tiles::padded_rows(num_rows()), those behind the last that is somebody's zeros.
  /// C is the type of arithmetic().
  template <typename C>
  C* row(int64_t index) {
    return static_cast<C*>(elements_.data_ptr()) + index * stride_;
  }
  template <typename C>
  const C* row(int64_t index) const {
    return static_cast<const C*>(elements_.const_data_ptr()) + index * stride_;
  }

 private:
  tiles::Arithmetic arithmetic_;
  int64_t rows_ = 0;
  int64_t width_ = 0;
  int64_t stride_ = 0;
  at::Tensor elements_;
};

}  // namespace prune_sweep
