#include "engine/linear.hpp"

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "engine/aligned_vector.hpp"
#include "engine/product_tasks.hpp"
#include "engine/row_stores.hpp"
#include "engine/team.hpp"
#include "engine/tile_types.hpp"

namespace prune_sweep {

namespace {

using tiles::Word;

/// Up to so many rows the weights are on the left: then a product takes as long as reading them,
/// and transposing them would take as long again.
constexpr int64_t kFewRows = 128;

/// Weights of the same shape that are multiplied with the same rows: one, or two.
using WeightsOfProduct = std::vector<const at::Tensor*>;

using Block = ProductTasks::Block;

/// Sums of rows [first_row, first_row + num_rows) with a part of a block, [num_rows][count], rows
/// `stride` apart: of a product's first weight and, if it has one, of its second.
struct Sums {
  Block part;
  int64_t first_row;
  int64_t num_rows;
  int64_t stride;
  const float* of_first;
  const float* of_second;

  SumsShape shape() const { return {num_rows, part.count, stride}; }
};

/// Products with the rows of a weight on the left, sums [count][columns of the panel]. T is what
/// weights are stored in, C what they are multiplied in.
template <typename T, typename C>
class TileProduct {
 public:
  static constexpr int64_t kWeightRows = 128;

  explicit TileProduct(const Panels& x) : x_(&x) {}

  /// Takes at most kWeightRows rows [first, first + count) of `weight` [any, width].
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
  AlignedVector<float> sums_ = AlignedVector<float>(kWeightRows * Panels::kRows);
};

/// Products of few rows with blocks of weights.
template <typename T, typename C>
class FewRows {
 public:
  static constexpr int64_t kRowsAtOnce = Panels::kRows;

  explicit FewRows(const ProductRows& x) : panels_(x) {}

  static int64_t most_weight_rows(int64_t /*width*/, int64_t /*num_weights*/) {
    return TileProduct<T, C>::kWeightRows;
  }

  /// What one thread works with.
  class Worker {
   public:
    explicit Worker(const FewRows& all) : rows_(all.panels_) {}

    void set_block(const Block& block, const WeightsOfProduct& weights) {
      block_ = block;
      while (products_.size() < weights.size()) products_.emplace_back(rows_);
      for (size_t i = 0; i < weights.size(); ++i) {
        products_[i].set_rows(*weights[i], block.first, block.count);
      }
      num_weights_ = weights.size();
    }

    /// Calls on_sums for at most kRowsAtOnce rows from `first_row` on.
    template <typename OnSums>
    void multiply(int64_t first_row, const OnSums& on_sums) {
      const int64_t panel = first_row / kRowsAtOnce;
      const int64_t rows = rows_.rows_of(panel);
      for (size_t i = 0; i < num_weights_; ++i) {
        turn_tile(
            products_[i].sums(panel),
            rows_.columns(panel),
            rows,
            block_.count,
            sums_of(i),
            kStride);
      }
      on_sums(Sums{block_, first_row, rows, kStride, sums_of(0), sums_of(1)});
    }

   private:
    static constexpr int64_t kStride = TileProduct<T, C>::kWeightRows;
    float* sums_of(size_t weight) { return sums_.data() + weight * (sums_.size() / 2); }

    const Panels& rows_;
    Block block_{};
    size_t num_weights_ = 0;
    std::vector<TileProduct<T, C>> products_;  // [weights]
    AlignedVector<float> sums_ = AlignedVector<float>(2 * kRowsAtOnce * kStride);
  };

 private:
  Panels panels_;
};

/// Products of many rows, on the left, with blocks of weights.
template <typename T, typename C>
class ManyRows {
 public:
  static constexpr int64_t kRowsAtOnce = 32;

  explicit ManyRows(const ProductRows& x) : x_(x) {}

  /// As many rows of each weight as stay in a core's cache together while all rows pass by.
  static int64_t most_weight_rows(int64_t width, int64_t num_weights) {
    constexpr int64_t kBytes = 768 << 10;
    return kBytes / (num_weights * width * static_cast<int64_t>(sizeof(C)));
  }

  class Worker {
   public:
    explicit Worker(const ManyRows& all) : x_(all.x_) {}

    void set_block(const Block& block, const WeightsOfProduct& weights) {
      block_ = block;
      padded_count_ = (block.count + kPanel - 1) / kPanel * kPanel;
      words_.resize(static_cast<size_t>(words_before(std::ssize(weights) * padded_count_)));
      num_weights_ = weights.size();
      for (size_t i = 0; i < weights.size(); ++i) {
        const T* rows = weights[i]->template const_data_ptr<T>() + block.first * x_.width();
        for (int64_t first = 0; first < block.count; first += kPanel) {
          pack(rows + first * x_.width(), count_of(first), words_of(i, first));
        }
      }
    }

    /// Calls on_sums for at most kRowsAtOnce rows from `first_row` on, panel by panel.
    template <typename OnSums>
    void multiply(int64_t first_row, const OnSums& on_sums) {
      const int64_t num_rows = std::min(kRowsAtOnce, x_.num_rows() - first_row);
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
        const Block part{block_.product, block_.first + first, count};
        on_sums(Sums{part, first_row, num_rows, kPanel, sums_of(0), sums_of(1)});
      }
    }

   private:
    int64_t count_of(int64_t first) const { return std::min(kPanel, block_.count - first); }
    int64_t words_before(int64_t weight_row) const {
      return weight_row * tiles::words<C>(x_.width());
    }
    Word* words_of(size_t weight, int64_t first) {
      return words_.data() + words_before(static_cast<int64_t>(weight) * padded_count_ + first);
    }
    float* sums_of(size_t weight) { return sums_.data() + weight * (sums_.size() / 2); }

    void pack(const T* rows, int64_t count, Word* to) {
      const int64_t columns = columns_of_panel(count);
      if constexpr (std::is_same_v<T, C>) {
        pack_panel(rows, x_.width(), count, x_.width(), to, columns);
      } else {
        widened_.assign(rows, rows + count * x_.width());
        pack_panel(widened_.data(), x_.width(), count, x_.width(), to, columns);
      }
    }

    const ProductRows& x_;
    Block block_{};
    int64_t padded_count_ = 0;  ///< of the block, whole panels
    size_t num_weights_ = 0;
    AlignedVector<Word> words_;  ///< the panels of the first weight, then those of the second
    AlignedVector<C> widened_;
    AlignedVector<float> sums_ = AlignedVector<float>(2 * kRowsAtOnce * kPanel);
  };

 private:
  static constexpr int64_t kPanel = Panels::kRows;

  const ProductRows& x_;
};

/// Calls on_sums for all sums of the products, from several threads. Rows is FewRows or ManyRows.
template <typename Rows, typename OnSums>
void run_products(
    const ProductRows& x, std::span<const WeightsOfProduct> products, const OnSums& on_sums) {
  const Rows rows(x);
  std::vector<ProductShape> shapes;
  for (const WeightsOfProduct& weights : products) {
    const int64_t num_weights = std::ssize(weights);
    const int64_t most = Rows::most_weight_rows(x.width(), num_weights);
    shapes.push_back({num_weights, weights.front()->size(0), most});
  }
  const ProductTasks tasks(shapes, x.num_rows(), Rows::kRowsAtOnce, at::get_num_threads());
  share_tasks(tasks.size(), 1, [&](TaskCounter& counter) {
    typename Rows::Worker worker(rows);
    for (int64_t index = 0; counter.take(index);) {
      const ProductTasks::Task task = tasks.at(index);
      worker.set_block(task.block, products[task.block.product]);
      for (int64_t row = task.first_row; row < task.end_row; row += Rows::kRowsAtOnce) {
        worker.multiply(row, on_sums);
      }
    }
    tiles::release(x.arithmetic());
  });
}

template <typename T, typename C, typename OnSums>
void for_sums(
    const ProductRows& x, std::span<const WeightsOfProduct> products, const OnSums& on_sums) {
  if (x.num_rows() == 0) return;
  if (x.num_rows() <= kFewRows) {
    run_products<FewRows<T, C>>(x, products, on_sums);
  } else {
    run_products<ManyRows<T, C>>(x, products, on_sums);
  }
}

}  // namespace

void project(const ProductRows& x, std::span<const Projection> projections) {
  std::vector<WeightsOfProduct> products;
  for (const Projection& projection : projections) products.push_back({&projection.weight});
  const at::ScalarType type = projections.front().weight.scalar_type();
  with_tile_types(type, x.arithmetic(), [&](auto stored, auto multiplied) {
    using T = decltype(stored);
    struct Target {
      T* out;
      const T* bias;
      int64_t width;
    };
    std::vector<Target> targets;
    for (const Projection& projection : projections) {
      const bool has_bias = projection.bias.defined();
      targets.push_back(
          {projection.out.data_ptr<T>(),
           has_bias ? projection.bias.const_data_ptr<T>() : nullptr,
           projection.weight.size(0)});
    }
    for_sums<T, decltype(multiplied)>(x, products, [&](const Sums& sums) {
      const Block& part = sums.part;
      const auto& [out, bias, width] = targets[part.product];
      store_rows(
          sums.of_first,
          sums.shape(),
          bias != nullptr ? bias + part.first : nullptr,
          out + sums.first_row * width + part.first,
          width);
    });
  });
}

void add_product(const ProductRows& x, const at::Tensor& weight, at::Tensor hidden) {
  const std::array products{WeightsOfProduct{&weight}};
  with_tile_types(weight.scalar_type(), x.arithmetic(), [&](auto stored, auto multiplied) {
    using T = decltype(stored);
    T* const out = hidden.data_ptr<T>();
    const int64_t width = hidden.size(1);
    for_sums<T, decltype(multiplied)>(x, products, [&](const Sums& sums) {
      T* const to = out + sums.first_row * width + sums.part.first;
      add_rows(sums.of_first, sums.shape(), to, width);
    });
  });
}

void gated_product(
    const ProductRows& x, const at::Tensor& gate, const at::Tensor& up, ProductRows& inner) {
  inner.reshape(x.num_rows(), gate.size(0));
  const std::array products{WeightsOfProduct{&gate, &up}};
  with_tile_types(gate.scalar_type(), x.arithmetic(), [&](auto stored, auto multiplied) {
    using T = decltype(stored);
    using C = decltype(multiplied);
    for_sums<T, C>(x, products, [&](const Sums& sums) {
      gate_rows(
          stored,
          sums.of_first,
          sums.of_second,
          sums.shape(),
          inner.row<C>(sums.first_row) + sums.part.first,
          inner.stride());
    });
  });
}

void for_tiles_here(
    const Panels& x,
    const at::Tensor& weight,
    int64_t first,
    int64_t count,
    const OnTile& on_tile) {
  with_tile_types(weight.scalar_type(), x.arithmetic(), [&](auto stored, auto multiplied) {
    using Product = TileProduct<decltype(stored), decltype(multiplied)>;
    Product product(x);
    for (int64_t block = first; block < first + count; block += Product::kWeightRows) {
      const int64_t rows = std::min(Product::kWeightRows, first + count - block);
      product.set_rows(weight, block, rows);
      for (int64_t panel = 0; panel < x.size(); ++panel) {
        on_tile({block, rows, panel, product.sums(panel)});
      }
    }
    tiles::release(x.arithmetic());
  });
}

}  // namespace prune_sweep
