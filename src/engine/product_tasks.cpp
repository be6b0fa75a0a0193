#include "engine/product_tasks.hpp"

#include <algorithm>

#include "engine/row_blocks.hpp"

namespace prune_sweep {

ProductTasks::ProductTasks(
    std::span<const ProductShape> products,
    int64_t num_rows,
    int64_t rows_at_once,
    int64_t num_threads)
    : num_rows_(num_rows), rows_at_once_(rows_at_once) {
  // A few tasks for each thread would leave some idle at the end.
  constexpr int64_t kTasksPerThread = 4;
  const int64_t wanted = kTasksPerThread * num_threads;
  int64_t all_weight_rows = 0;
  for (const ProductShape& product : products) {
    all_weight_rows += product.num_weights * product.out_width;
  }
  for (size_t i = 0; i < products.size(); ++i) {
    const auto& [num_weights, out_width, most_weight_rows] = products[i];
    const int64_t most = std::min(most_weight_rows, all_weight_rows / wanted / num_weights);
    const int64_t size = std::max(kRowsOfPanel, most / kRowsOfPanel * kRowsOfPanel);
    for (int64_t first = 0; first < out_width; first += size) {
      blocks_.push_back({i, first, std::min(size, out_width - first)});
    }
  }
  const auto num_blocks = std::ssize(blocks_);
  num_shares_ = std::clamp<int64_t>((wanted + num_blocks - 1) / num_blocks, 1, num_steps());
}

ProductTasks::Task ProductTasks::at(int64_t index) const {
  const auto cut = [&](int64_t share) {
    return std::min(num_rows_, num_steps() * share / num_shares_ * rows_at_once_);
  };
  const int64_t share = index % num_shares_;
  return {blocks_[static_cast<size_t>(index / num_shares_)], cut(share), cut(share + 1)};
}

}  // namespace prune_sweep
