#include "prune_sweep/benchmarks/repetition.hpp"

#include <numeric>
#include <vector>

#include "catch.hpp"

using namespace prune_sweep;

namespace {

/// 100 different tokens, then `copies` of `period` others.
std::vector<int32_t> text(size_t period, size_t copies) {
  std::vector<int32_t> ids(100);
  std::iota(ids.begin(), ids.end(), 1000);
  for (size_t i = 0; i < period * copies; ++i) ids.push_back(static_cast<int32_t>(i % period));
  return ids;
}

}  // namespace

TEST_CASE("a text that ends in three copies or more of a stretch ends in a loop") {
  for (const size_t period : {8, 9, 20, 64}) {
    CAPTURE(period);
    CHECK(ends_in_loop(text(period, 3)));
    CHECK(ends_in_loop(text(period, 7)));
    CHECK_FALSE(ends_in_loop(text(period, 2)));
  }
  CHECK_FALSE(ends_in_loop(text(65, 3)));
}

TEST_CASE("a short stretch must go on for 24 tokens") {
  CHECK(ends_in_loop(text(1, 24)));
  CHECK_FALSE(ends_in_loop(text(1, 23)));
  CHECK(ends_in_loop(text(5, 5)));
  CHECK_FALSE(ends_in_loop(text(5, 4)));
}

TEST_CASE("a loop may be cut in the middle of a copy, but it must reach the end") {
  std::vector<int32_t> ids = text(10, 4);
  ids.resize(ids.size() - 3);
  CHECK(ends_in_loop(ids));
  ids.push_back(77);
  CHECK_FALSE(ends_in_loop(ids));
}

TEST_CASE("short texts do not loop") {
  CHECK_FALSE(ends_in_loop({}));
  CHECK_FALSE(ends_in_loop(text(3, 1)));
}
