#include "prune_sweep/core/record_table.hpp"

#include <limits>

#include "catch.hpp"
#include "core/plans.hpp"

using namespace prune_sweep;

namespace {

Plan small_plan() {
  return make_plan(
      some_context(),
      small_shape(4),
      single_drops(2),
      {choice_benchmark("mmlu", {2, 1}, 10, 5), generation_benchmark("gsm8k", 2, 10, 4)});
}

Record choice(uint8_t correct, float first = -1) {
  Record record;
  record.loglik = {first, -2, -3, -4};
  record.correct = correct;
  return record;
}

Record answer(uint8_t strict, uint8_t flexible) {
  Record record;
  record.strict_correct = strict;
  record.flexible_correct = flexible;
  return record;
}

using Insert = RecordTable::Insert;

}  // namespace

TEST_CASE("a table begins empty and holds what is put in its places") {
  RecordTable table(small_plan());
  CHECK(table.num_records() == 0);
  CHECK(table.find({1, 2, 1}) == nullptr);
  CHECK(table.insert({1, 2, 1}, answer(1, 0)) == Insert::kNew);
  REQUIRE(table.find({1, 2, 1}) != nullptr);
  CHECK(*table.find({1, 2, 1}) == answer(1, 0));
  CHECK(table.find({1, 2, 0}) == nullptr);
  CHECK(table.find({1, 1, 1}) == nullptr);
  CHECK(table.find({0, 2, 1}) == nullptr);
  CHECK(table.num_records() == 1);
  CHECK(table.num_records_of(2) == 1);
  CHECK(table.num_records_of(1) == 0);
}

TEST_CASE("the first record of a place stays, and a second one is compared bit by bit") {
  RecordTable table(small_plan());
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(table.insert({0, 0, 0}, choice(1, nan)) == Insert::kNew);
  CHECK(table.insert({0, 0, 0}, choice(1, nan)) == Insert::kSame);
  CHECK(table.insert({0, 0, 0}, choice(1, -1)) == Insert::kDifferent);
  CHECK(table.insert({0, 0, 0}, choice(0, nan)) == Insert::kDifferent);
  CHECK(std::isnan(table.find({0, 0, 0})->loglik[0]));
  CHECK(table.insert({0, 0, 1}, choice(1, 0.0f)) == Insert::kNew);
  CHECK(table.insert({0, 0, 1}, choice(1, -0.0f)) == Insert::kDifferent);
  CHECK(table.num_records() == 2);
  CHECK(table.num_records_of(0) == 2);
}

TEST_CASE("a variant is complete when every question of every benchmark has its record") {
  RecordTable table(small_plan());
  for (int32_t q = 0; q < 3; ++q) table.insert({0, 1, q}, choice(1));
  table.insert({1, 1, 0}, answer(1, 1));
  CHECK_FALSE(table.is_complete(1));
  table.insert({1, 1, 1}, answer(0, 1));
  CHECK(table.is_complete(1));
  CHECK_FALSE(table.is_complete(0));
  CHECK(table.num_records_of(1) == 5);
}

TEST_CASE("accuracy is the mean of the headline column over the evaluated questions") {
  RecordTable table(small_plan());
  CHECK_FALSE(table.accuracy(0, 0).has_value());
  table.insert({0, 0, 0}, choice(1));
  CHECK(table.accuracy(0, 0) == 1.0);
  table.insert({0, 0, 2}, choice(0));
  CHECK(table.accuracy(0, 0) == 0.5);
  // The strict match counts, not the flexible one.
  table.insert({1, 0, 0}, answer(0, 1));
  CHECK(table.accuracy(1, 0) == 0.0);
  CHECK_FALSE(table.accuracy(1, 1).has_value());
}

TEST_CASE("a place outside the plan is refused") {
  RecordTable table(small_plan());
  CHECK_THROWS(table.insert({2, 0, 0}, choice(1)));
  CHECK_THROWS(table.insert({0, 3, 0}, choice(1)));
  CHECK_THROWS(table.insert({0, 0, 3}, choice(1)));
  CHECK_THROWS(table.insert({0, 0, -1}, choice(1)));
  CHECK_THROWS(table.find({0, -1, 0}));
  CHECK_THROWS(table.num_records_of(3));
  CHECK(table.num_records() == 0);
}
