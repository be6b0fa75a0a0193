/// \file
/// Products of many rows: these are on the left, and blocks of weights are transposed for it, once
/// for all rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "engine/aligned_vector.hpp"
#include "engine/product_sums.hpp"

namespace prune_sweep {

/// Products of many rows, all of one share, on the left, with blocks of weights.
template <typename T, typename C>
class ManyRows {
 public:
  static constexpr int64_t kRowsAtOnce = 32;

  ManyRows(const ProductRows& x, std::span<const Share> shares) : x_(x), share_(shares.front()) {}

  int64_t num_rows() const { return share_.rows.count; }

  /// As many rows of each weight as stay in a core's cache together while all rows pass by.
  static int64_t most_weight_rows(int64_t width, int64_t num_weights) {
    constexpr int64_t kBytes = 768 << 10;
    return kBytes / (num_weights * width * static_cast<int64_t>(sizeof(C)));
  }

  class Worker {
   public:
    explicit Worker(const ManyRows& all) : x_(all.x_), share_(all.share_) {}

    void set_block(const ProductTasks::Block& block, const WeightsOfProduct& weights) {
      block_ = block;
      padded_count_ = (block.count + kPanel - 1) / kPanel * kPanel;
      words_.resize(static_cast<size_t>(words_before(std::ssize(weights) * padded_count_)));
      num_weights_ = weights.size();
      for (size_t i = 0; i < weights.size(); ++i) {
        for (int64_t first = 0; first < block.count; first += kPanel) {
          pack(*weights[i], {block.first + first, count_of(first)}, words_of(i, first));
        }
      }
    }

    /// Calls on_sums for at most kRowsAtOnce rows from row `row` of the share on, panel by panel.
    template <typename OnSums>
    void multiply(int64_t row, const OnSums& on_sums) {
      const int64_t first_row = share_.rows.first + row;
      const int64_t num_rows = std::min(kRowsAtOnce, share_.rows.count - row);
      for (int64_t first = 0; first < block_.count; first += kPanel) {
        const int64_t count = count_of(first);
        const int64_t columns = columns_of_panel(count);
        for (size_t i = 0; i < num_weights_; ++i) {
          tiles::multiply(
              {{tiles::padded_rows(num_rows), columns, x_.width()},
               {x_.template row<C>(first_row), x_.stride()},
               {words_of(i, first), columns},
               {sums_of(i), kPanel},
               tiles::Into::kReplace});
        }
        const ProductTasks::Block part{block_.product, block_.first + first, count};
        on_sums(Sums{part, first_row, num_rows, kPanel, sums_of(0), sums_of(1)});
      }
    }

   private:
    int64_t count_of(int64_t first) const { return std::min(kPanel, block_.count - first); }
    int64_t words_before(int64_t weight_row) const {
      return weight_row * tiles::words<C>(x_.width());
    }
    tiles::Word* words_of(size_t weight, int64_t first) {
      return words_.data() + words_before(static_cast<int64_t>(weight) * padded_count_ + first);
    }
    float* sums_of(size_t weight) { return sums_.data() + weight * (sums_.size() / 2); }

    void pack(const ProductWeight& weight, RowRange range, tiles::Word* to) {
      const int64_t width = x_.width();
      const T* const all = weight.tensor.const_data_ptr<T>();
      const T* rows = all + range.first * width;
      if (const WeightZeros* const zeros = zeros_of(weight, share_)) {
        zeroed_.resize(static_cast<size_t>(kPanel * width));
        zeros->copy(all, width, range, zeroed_.data(), width);
        rows = zeroed_.data();
      }
      const int64_t columns = columns_of_panel(range.count);
      if constexpr (std::is_same_v<T, C>) {
        pack_panel(rows, width, range.count, width, to, columns);
      } else {
        widened_.assign(rows, rows + range.count * width);
        pack_panel(widened_.data(), width, range.count, width, to, columns);
      }
    }

    const ProductRows& x_;
    const Share& share_;
    ProductTasks::Block block_{};
    int64_t padded_count_ = 0;  ///< of the block, whole panels
    size_t num_weights_ = 0;
    AlignedVector<tiles::Word>
        words_;  ///< the panels of the first weight, then those of the second
    AlignedVector<T> zeroed_;
    AlignedVector<C> widened_;
    AlignedVector<float> sums_ = AlignedVector<float>(2 * kRowsAtOnce * kPanel);
  };

 private:
  static constexpr int64_t kPanel = Panels::kRows;

  const ProductRows& x_;
  Share share_;
};

}  // namespace prune_sweep
