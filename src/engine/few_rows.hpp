/// \file
/// Products of few rows. These take as long as reading the weights, so the weights are on the left,
/// where they lie: transposing them would take as long again.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/aligned_vector.hpp"
#include "engine/product_sums.hpp"

namespace prune_sweep {

/// Products with the rows of a weight on the left, sums [count][columns of the panel]. T is what
/// weights are stored in, C what they are multiplied in.
template <typename T, typename C>
class TileProduct {
 public:
  explicit TileProduct(const Panels& x) : x_(&x) {}

  /// Takes at most kRowsOnTheLeft rows [first, first + count) of `weight` [any, width].
  void set_rows(const at::Tensor& weight, int64_t first, int64_t count) {
    count_ = count;
    const T* rows = weight.const_data_ptr<T>() + first * x_->width();
    if constexpr (std::is_same_v<T, C>) {
      rows_ = rows;
      // A checkpoint's tensors begin anywhere. Two products do not pay for a copy.
      const bool is_aligned = reinterpret_cast<uintptr_t>(rows) % kCacheLineBytes == 0;
      if (is_aligned || x_->size() <= 2) return;
    }
    copied_.assign(rows, rows + count * x_->width());
    rows_ = copied_.data();
  }

  const float* sums(int64_t panel) {
    const int64_t columns = x_->columns(panel);
    tiles::multiply(
        {{count_, columns, x_->width()},
         {rows_, x_->width()},
         {x_->panel(panel), columns},
         {sums_.data(), columns},
         tiles::Into::kReplace,
         panel == 0 && rows_ != copied_.data() ? tiles::Left::kMemory : tiles::Left::kCache});
    return sums_.data();
  }

 private:
  const Panels* x_;
  int64_t count_ = 0;
  const C* rows_ = nullptr;
  AlignedVector<C> copied_;
  AlignedVector<float> sums_ = AlignedVector<float>(kRowsOnTheLeft * Panels::kRows);
};

/// Products of few rows, all of one share whose weights are as they are, with blocks of weights.
template <typename T, typename C>
class FewRows {
 public:
  static constexpr int64_t kRowsAtOnce = Panels::kRows;

  FewRows(const ProductRows& x, std::span<const Share> shares)
      : panels_(x, std::array{shares.front().rows}) {}

  int64_t num_rows() const { return panels_.size() * kRowsAtOnce; }

  static int64_t most_weight_rows(int64_t /*width*/, int64_t /*num_weights*/) {
    return kRowsOnTheLeft;
  }

  /// What one thread works with.
  class Worker {
   public:
    explicit Worker(const FewRows& all) : rows_(all.panels_) {}

    void set_block(const ProductTasks::Block& block, const WeightsOfProduct& weights) {
      block_ = block;
      while (products_.size() < weights.size()) products_.emplace_back(rows_);
      for (size_t i = 0; i < weights.size(); ++i) {
        products_[i].set_rows(weights[i]->tensor, block.first, block.count);
      }
      num_weights_ = weights.size();
    }

    /// Calls on_sums for at most kRowsAtOnce rows from row `row` of the share on.
    template <typename OnSums>
    void multiply(int64_t row, const OnSums& on_sums) {
      const std::span products(products_.data(), num_weights_);
      turned_.give(block_, rows_, row / kRowsAtOnce, products, on_sums);
    }

   private:
    const Panels& rows_;
    ProductTasks::Block block_{};
    size_t num_weights_ = 0;
    std::vector<TileProduct<T, C>> products_;  // [weights]
    TurnedSums turned_;
  };

 private:
  Panels panels_;
};

}  // namespace prune_sweep
