/// \file
/// Products of few rows whose shares meet the weights zeroed, each in its own way. The weights come
/// from memory once for all shares: a register's rows are zeroed for each on their way into it or,
/// where that is not possible, in copies.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/aligned_vector.hpp"
#include "engine/product_sums.hpp"

namespace prune_sweep {

/// Products of a block of one weight with all panels of rows.
template <typename T, typename C>
class ZeroedBlock {
 public:
  explicit ZeroedBlock(const Panels& x) : x_(&x) {
    sums_.resize(static_cast<size_t>(x.size() * kRowsOnTheLeft * Panels::kRows));
  }

  /// Sums of at most kRowsOnTheLeft rows [first, first + count) of `weight` [any, width] and all
  /// panels, `zeros` being those of each.
  void multiply(
      const at::Tensor& weight,
      int64_t first,
      int64_t count,
      std::span<const WeightZeros* const> zeros) {
    const T* const elements = weight.const_data_ptr<T>();
    for (int64_t row = 0; row < count; row += kRows) {
      const RowRange rows{first + row, std::min(kRows, count - row)};
      together_.clear();
      for (int64_t panel = 0; panel < x_->size(); ++panel) {
        const WeightZeros& of_panel = *zeros[static_cast<size_t>(panel)];
        const std::optional<uint32_t> least = least_kept(elements, rows, of_panel);
        if (!least || rows.count < kRows) {
          multiply_copy(elements, rows, panel, of_panel, sums_of(panel, row));
          continue;
        }
        const int64_t columns = x_->columns(panel);
        for (int64_t column = 0; column < columns; column += kRows) {
          together_.push_back(
              {static_cast<uint16_t>(*least),
               {x_->panel(panel) + column, columns},
               {sums_of(panel, row) + column, columns}});
        }
      }
      multiply_together(elements + rows.first * x_->width(), together_);
    }
  }

  /// [count][columns of the panel]
  const float* sums(int64_t panel) const {
    return sums_.data() + panel * kRowsOnTheLeft * Panels::kRows;
  }

 private:
  /// Rows that are zeroed together.
  static constexpr int64_t kRows = tiles::ZeroedProduct::kRegister;

  float* sums_of(int64_t panel, int64_t row) {
    return sums_.data() + panel * kRowsOnTheLeft * Panels::kRows + row * x_->columns(panel);
  }

  /// Where these rows can be zeroed on their way into the registers.
  std::optional<uint32_t> least_kept(
      const T* elements, RowRange rows, const WeightZeros& zeros) const {
    const bool is_possible = std::is_same_v<T, c10::BFloat16> && std::is_same_v<T, C> &&
                             reinterpret_cast<const char*>(elements) == zeros.stored &&
                             tiles::most_zeroed_products(x_->width()) > 0;
    if (!is_possible) return std::nullopt;
    return zeros.least_kept(x_->width(), rows);
  }

  void multiply_together(const T* rows, std::span<const tiles::ZeroedProduct> products) const {
    if constexpr (std::is_same_v<T, c10::BFloat16>) {
      const auto most = static_cast<size_t>(tiles::most_zeroed_products(x_->width()));
      while (!products.empty()) {
        const auto some = products.first(std::min(most, products.size()));
        tiles::multiply_zeroed(x_->width(), {rows, x_->width()}, some);
        products = products.subspan(some.size());
      }
    }
  }

  void multiply_copy(
      const T* elements, RowRange rows, int64_t panel, const WeightZeros& zeros, float* sums) {
    const int64_t stride = row_stride<C>(x_->width());
    zeroed_.resize(static_cast<size_t>(kRows * stride));
    zeros.copy(elements, x_->width(), rows, zeroed_.data(), stride);
    const C* left = nullptr;
    if constexpr (std::is_same_v<T, C>) {
      left = zeroed_.data();
    } else {
      widened_.assign(zeroed_.begin(), zeroed_.end());
      left = widened_.data();
    }
    const int64_t columns = x_->columns(panel);
    tiles::multiply(
        {{rows.count, columns, x_->width()},
         {left, stride},
         {x_->panel(panel), columns},
         {sums, columns},
         tiles::Into::kReplace});
  }

  const Panels* x_;
  std::vector<tiles::ZeroedProduct> together_;
  AlignedVector<T> zeroed_;
  AlignedVector<C> widened_;
  AlignedVector<float> sums_;  // [panels][kRowsOnTheLeft * Panels::kRows]
};

/// Products of few rows with blocks of weights.
template <typename T, typename C>
class ZeroedRows {
 public:
  static constexpr int64_t kRowsAtOnce = 1;

  ZeroedRows(const ProductRows& x, std::span<const Share> shares) : panels_(x, ranges_of(shares)) {
    for (const Share& share : shares) {
      const int64_t num_panels = (share.rows.count + Panels::kRows - 1) / Panels::kRows;
      shares_.insert(shares_.end(), static_cast<size_t>(num_panels), share);
    }
  }

  /// Not to be cut: all go together.
  int64_t num_rows() const { return 1; }

  static int64_t most_weight_rows(int64_t /*width*/, int64_t /*num_weights*/) {
    return kRowsOnTheLeft;
  }

  class Worker {
   public:
    explicit Worker(const ZeroedRows& all) : all_(all) {}

    void set_block(const ProductTasks::Block& block, const WeightsOfProduct& weights) {
      block_ = block;
      num_weights_ = weights.size();
      while (products_.size() < weights.size()) products_.emplace_back(all_.panels_);
      for (size_t i = 0; i < weights.size(); ++i) {
        std::vector<const WeightZeros*> zeros;
        for (const Share& share : all_.shares_) zeros.push_back(zeros_of(*weights[i], share));
        products_[i].multiply(weights[i]->tensor, block.first, block.count, zeros);
      }
    }

    /// Calls on_sums for all rows, panel by panel.
    template <typename OnSums>
    void multiply(int64_t /*row*/, const OnSums& on_sums) {
      const std::span products(products_.data(), num_weights_);
      for (int64_t panel = 0; panel < all_.panels_.size(); ++panel) {
        turned_.give(block_, all_.panels_, panel, products, on_sums);
      }
    }

   private:
    const ZeroedRows& all_;
    ProductTasks::Block block_{};
    size_t num_weights_ = 0;
    std::vector<ZeroedBlock<T, C>> products_;  // [weights]
    TurnedSums turned_;
  };

 private:
  static std::vector<RowRange> ranges_of(std::span<const Share> shares) {
    std::vector<RowRange> ranges;
    for (const Share& share : shares) ranges.push_back(share.rows);
    return ranges;
  }

  Panels panels_;
  std::vector<Share> shares_;  // [panels]
};

}  // namespace prune_sweep
