#include "engine/product_rows.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "engine/aligned_vector.hpp"
#include "engine/kernel_loops.hpp"
#include "engine/lanes.hpp"
#include "engine/team.hpp"
#include "engine/tile_types.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;

PRUNE_SWEEP_CLONES void widen(const BFloat16* row, int64_t width, float* to) {
  for (int64_t i = 0; i < width; i += kLanes) {
    store(to + i, load(row + i, width - i), width - i);
  }
}

}  // namespace

void ProductRows::reshape(int64_t rows, int64_t width) {
  rows_ = rows;
  width_ = width;
  with_multiplied_type(
      arithmetic_, [&](auto zero) { stride_ = row_stride<decltype(zero)>(width); });
  const auto type = arithmetic_ == tiles::Arithmetic::kBfloat16 ? at::kBFloat16 : at::kFloat;
  // A product of rows from anywhere on may read as many behind them.
  const int64_t needed = (rows + tiles::padded_rows(1)) * stride_;
  if (!elements_.defined() || elements_.numel() < needed) {
    elements_ = at::empty({needed}, at::TensorOptions(type));
  }
  with_multiplied_type(arithmetic_, [&](auto zero) {
    using C = decltype(zero);
    std::fill(row<C>(rows), row<C>(tiles::padded_rows(rows)), zero);
    for (int64_t i = 0; i < rows && width % tiles::kPerWord<C> != 0; ++i) row<C>(i)[width] = zero;
  });
}

void ProductRows::take(const at::Tensor& rows, const RowNorm& norm) {
  reshape(rows.size(0), rows.size(1));
  with_tile_types(rows.scalar_type(), arithmetic_, [&](auto stored, auto multiplied) {
    using T = decltype(stored);
    using C = decltype(multiplied);
    const T* const from = rows.const_data_ptr<T>();
    const T* const weight = norm.weight.defined() ? norm.weight.const_data_ptr<T>() : nullptr;
    const auto eps = static_cast<float>(norm.eps);
    const int64_t grain = std::max<int64_t>(1, at::internal::GRAIN_SIZE / width_);
    at::parallel_for(0, rows_, grain, [&](int64_t begin, int64_t end) {
      std::vector<T> normed(std::is_same_v<T, C> ? 0 : static_cast<size_t>(width_));
      for (int64_t i = begin; i < end; ++i) {
        const T* source = from + i * width_;
        if constexpr (std::is_same_v<T, C>) {
          if (weight != nullptr) {
            rms_norm_rows(source, weight, row<C>(i), 1, width_, eps);
          } else {
            std::memcpy(row<C>(i), source, sizeof(T) * static_cast<size_t>(width_));
          }
        } else {
          if (weight != nullptr) {
            rms_norm_rows(source, weight, normed.data(), 1, width_, eps);
            source = normed.data();
          }
          widen(source, width_, row<C>(i));
        }
      }
    });
  });
}

}  // namespace prune_sweep
