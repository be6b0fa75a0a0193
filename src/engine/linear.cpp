#include "engine/linear.hpp"

#include <array>
#include <span>
#include <vector>

#include "engine/few_rows.hpp"
#include "engine/many_rows.hpp"
#include "engine/product_sums.hpp"
#include "engine/team.hpp"
#include "engine/tile_types.hpp"
#include "engine/zeroed_rows.hpp"

namespace prune_sweep {

namespace {

/// Up to so many rows the weights are on the left.
constexpr int64_t kFewRows = 128;

/// Calls on_sums for all sums of the products with the rows of `shares`, from several threads. Rows
/// see product_sums.hpp.
template <typename Rows, typename OnSums>
void run_products(
    const ProductRows& x,
    std::span<const Share> shares,
    std::span<const WeightsOfProduct> products,
    const OnSums& on_sums) {
  const Rows rows(x, shares);
  std::vector<ProductShape> shapes;
  for (const WeightsOfProduct& weights : products) {
    const int64_t num_weights = std::ssize(weights);
    const int64_t most = Rows::most_weight_rows(x.width(), num_weights);
    shapes.push_back({num_weights, weights.front()->tensor.size(0), most});
  }
  const ProductTasks tasks(shapes, rows.num_rows(), Rows::kRowsAtOnce, at::get_num_threads());
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

std::vector<Share> shares_of(const ProductRows& x, const ProductWeight& weight) {
  if (weight.zeros.empty()) return {{{0, x.num_rows()}, 0}};
  std::vector<Share> shares;
  int64_t first = 0;
  for (const RowZeros& zeros : weight.zeros) {
    shares.push_back({{first, zeros.num_rows}, shares.size()});
    first += zeros.num_rows;
  }
  return shares;
}

template <typename T, typename C, typename OnSums>
void for_sums(
    const ProductRows& x, std::span<const WeightsOfProduct> products, const OnSums& on_sums) {
  if (x.num_rows() == 0) return;
  const std::vector<Share> all = shares_of(x, *products.front().front());
  std::span<const Share> left = all;
  while (!left.empty()) {
    // Shares of few rows go together as long as all of them are few.
    int64_t num_rows = left.front().rows.count;
    size_t num_shares = 1;
    while (num_shares < left.size() && num_rows + left[num_shares].rows.count <= kFewRows) {
      num_rows += left[num_shares++].rows.count;
    }
    const std::span<const Share> shares = left.first(num_shares);
    left = left.subspan(num_shares);
    const bool is_zeroed = !products.front().front()->zeros.empty();
    if (num_rows <= kFewRows && is_zeroed) {
      run_products<ZeroedRows<T, C>>(x, shares, products, on_sums);
    } else if (num_rows <= kFewRows) {
      run_products<FewRows<T, C>>(x, shares, products, on_sums);
    } else {
      run_products<ManyRows<T, C>>(x, shares, products, on_sums);
    }
  }
}

}  // namespace

void project(const ProductRows& x, std::span<const Projection> projections) {
  std::vector<WeightsOfProduct> products;
  for (const Projection& projection : projections) products.push_back({&projection.weight});
  const at::ScalarType type = projections.front().weight.tensor.scalar_type();
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
           projection.weight.tensor.size(0)});
    }
    for_sums<T, decltype(multiplied)>(x, products, [&](const Sums& sums) {
      const ProductTasks::Block& part = sums.part;
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

void add_product(const ProductRows& x, const ProductWeight& weight, at::Tensor hidden) {
  const std::array products{WeightsOfProduct{&weight}};
  with_tile_types(weight.tensor.scalar_type(), x.arithmetic(), [&](auto stored, auto multiplied) {
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
    const ProductRows& x, const ProductWeight& gate, const ProductWeight& up, ProductRows& inner) {
  inner.reshape(x.num_rows(), gate.tensor.size(0));
  const std::array products{WeightsOfProduct{&gate, &up}};
  with_tile_types(gate.tensor.scalar_type(), x.arithmetic(), [&](auto stored, auto multiplied) {
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
    for (int64_t block = first; block < first + count; block += kRowsOnTheLeft) {
      const int64_t rows = std::min(kRowsOnTheLeft, first + count - block);
      product.set_rows(weight, block, rows);
      for (int64_t panel = 0; panel < x.size(); ++panel) {
        on_tile({block, rows, panel, product.sums(panel)});
      }
    }
    tiles::release(x.arithmetic());
  });
}

}  // namespace prune_sweep
