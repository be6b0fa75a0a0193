/// \file
/// Row blocks: how matrices of many rows go through matrix products.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace prune_sweep {

/// Rows that go through the matrix products of a sublayer together: enough for their full rate, few
/// enough for what lies between two of them to stay in the cache.
inline constexpr int64_t kRowBlock = 1024;

/// Least number of rows for which a row's bits do not depend on how many others there are. Below 16
/// float32 products take another kernel, and up to 4096 multiplications in all bfloat16 products
/// do, too.
inline int64_t min_gemm_rows(int64_t inner, int64_t outer) {
  return std::max<int64_t>(16, 4096 / (inner * outer) + 1);
}

/// Applies `f` to blocks of the rows of all `inputs` (equal numbers of rows) and joins its results.
/// A block shorter than `min_rows` is filled up with zeros, whose results are cut off.
template <typename F>
std::vector<at::Tensor> map_row_blocks(
    const std::vector<at::Tensor>& inputs, int64_t min_rows, F f) {
  const int64_t num_rows = inputs.front().size(0);
  std::vector<std::vector<at::Tensor>> parts;  // [outputs][blocks]
  for (int64_t first = 0; first < num_rows; first += kRowBlock) {
    const int64_t count = std::min(kRowBlock, num_rows - first);
    std::vector<at::Tensor> block;
    for (const at::Tensor& input : inputs) {
      at::Tensor rows = input.narrow(0, first, count);
      if (count < min_rows) {
        rows = at::cat({rows, at::zeros({min_rows - count, input.size(1)}, input.options())});
      }
      block.push_back(std::move(rows));
    }
    std::vector<at::Tensor> results = f(block);
    parts.resize(results.size());
    for (size_t i = 0; i < results.size(); ++i) {
      parts[i].push_back(count < min_rows ? results[i].narrow(0, 0, count) : results[i]);
    }
  }
  std::vector<at::Tensor> joined;
  for (std::vector<at::Tensor>& blocks : parts) {
    joined.push_back(blocks.size() == 1 ? std::move(blocks.front()) : at::cat(blocks));
  }
  return joined;
}

}  // namespace prune_sweep
