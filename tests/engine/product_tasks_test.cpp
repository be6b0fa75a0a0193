#include "engine/product_tasks.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include "catch.hpp"
#include "engine/row_blocks.hpp"

using namespace prune_sweep;

namespace {

const std::vector<ProductShape> kQkv{{1, 2048, 384}, {1, 1024, 384}, {1, 1024, 384}};
const std::vector<ProductShape> kGated{{2, 3072, 192}};
const std::vector<ProductShape> kOdd{{1, 17, 128}, {1, 300, 128}};

}  // namespace

TEST_CASE("every row meets every row of every weight once") {
  for (const auto& products : {kQkv, kGated, kOdd}) {
    for (const int64_t num_rows : {1, 31, 32, 33, 500}) {
      for (const int64_t threads : {1, 2, 64}) {
        CAPTURE(products.size(), num_rows, threads);
        const ProductTasks tasks(products, num_rows, 32, threads);
        std::map<std::tuple<size_t, int64_t, int64_t>, int> met;  // [product, block, row]
        std::vector<int64_t> weight_rows(products.size(), 0);
        for (int64_t i = 0; i < tasks.size(); ++i) {
          const auto [block, first_row, end_row] = tasks.at(i);
          CHECK(first_row % 32 == 0);
          CHECK(first_row < end_row);
          CHECK((end_row % 32 == 0 || end_row == num_rows));
          CHECK(block.first % kRowsOfPanel == 0);
          if (first_row == 0) weight_rows[block.product] += block.count;
          for (int64_t row = first_row; row < end_row; ++row) {
            met[{block.product, block.first, row}] += 1;
          }
        }
        for (size_t i = 0; i < products.size(); ++i) {
          CHECK(weight_rows[i] == products[i].out_width);
        }
        CHECK(std::all_of(met.begin(), met.end(), [](const auto& m) { return m.second == 1; }));
        size_t num_blocks = 0;
        for (const auto& [key, count] : met) num_blocks += std::get<2>(key) == 0;
        CHECK(met.size() == num_blocks * static_cast<size_t>(num_rows));
      }
    }
  }
}

TEST_CASE("blocks are as large as allowed, where threads have enough to do") {
  const auto largest = [](const std::vector<ProductShape>& products, int64_t threads) {
    const ProductTasks tasks(products, 2048, 32, threads);
    int64_t count = 0;
    for (int64_t i = 0; i < tasks.size(); ++i) count = std::max(count, tasks.at(i).block.count);
    return count;
  };
  CHECK(largest(kQkv, 1) == 384);
  CHECK(largest(kGated, 2) == 192);
  CHECK(largest(kQkv, 8) == 128);
  CHECK(largest(kQkv, 64) == 64);
}

TEST_CASE("where weights are few, rows are shared") {
  const std::vector<ProductShape> small{{1, 128, 384}};
  CHECK(ProductTasks(small, 2048, 32, 2).size() >= 8);
  CHECK(ProductTasks(small, 16, 32, 2).size() == 2);  // two panels, and one share
}
