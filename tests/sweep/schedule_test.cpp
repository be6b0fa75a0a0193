#include "prune_sweep/sweep/schedule.hpp"

#include <algorithm>
#include <numeric>
#include <random>

#include "catch.hpp"

using namespace prune_sweep;

namespace {

struct UnitSpec {
  std::vector<int32_t> variants;
  double flops;
};

Plan plan_of(const std::vector<UnitSpec>& specs) {
  Plan plan;
  for (const UnitSpec& spec : specs) {
    plan.units.push_back({.variants = spec.variants, .num_questions = 1, .flops = spec.flops});
  }
  return plan;
}

std::vector<int32_t> all_units(const Plan& plan) {
  std::vector<int32_t> units(plan.units.size());
  std::iota(units.begin(), units.end(), 0);
  return units;
}

/// The units a single worker is given, each completed before the next.
std::vector<int32_t> order_for_one(const Plan& plan) {
  Schedule schedule(plan, all_units(plan));
  std::vector<int32_t> order;
  while (const auto unit = schedule.next(0)) {
    order.push_back(*unit);
    schedule.complete(*unit);
  }
  return order;
}

Plan random_plan(std::mt19937& random) {
  std::vector<UnitSpec> specs(1 + random() % 60);
  const size_t num_groups = 1 + random() % 6;
  for (UnitSpec& spec : specs) {
    const auto group = static_cast<int32_t>(random() % num_groups);
    // Equal costs, none at all, and costs far apart.
    const std::vector<double> costs{0, 1, 1, 5, 1e15, 1e3 * static_cast<double>(random() % 100)};
    spec = {{2 * group, 2 * group + 1}, costs[random() % costs.size()]};
  }
  return plan_of(specs);
}

}  // namespace

TEST_CASE("units with the baseline go first, whatever they cost") {
  const Plan plan = plan_of({{{1, 2}, 1000}, {{0, 3}, 1}, {{1, 2}, 500}, {{0, 3}, 2}});
  CHECK(order_for_one(plan) == std::vector<int32_t>{3, 1, 0, 2});
}

TEST_CASE("within a group the longest unit goes first, equal ones in the plan's order") {
  const Plan plan = plan_of({{{0}, 3}, {{0}, 9}, {{0}, 1}, {{0}, 9}, {{0}, 4}});
  CHECK(order_for_one(plan) == std::vector<int32_t>{1, 3, 4, 0, 2});
}

TEST_CASE("a worker keeps its group while there is work in it") {
  const Plan plan =
      plan_of({{{1}, 10}, {{2}, 9}, {{1}, 5}, {{2}, 5}, {{1}, 1}, {{2}, 1}, {{3}, 100}, {{3}, 1}});
  Schedule schedule(plan, all_units(plan));
  const auto variant_given = [&](int32_t worker) {
    const auto unit = schedule.next(worker);
    REQUIRE(unit.has_value());
    return plan.units[static_cast<size_t>(*unit)].variants.front();
  };
  // Most work first; then each worker stays where it is, however much there is elsewhere.
  CHECK(variant_given(7) == 3);
  CHECK(variant_given(8) == 1);
  CHECK(variant_given(9) == 2);
  CHECK(variant_given(9) == 2);
  CHECK(variant_given(8) == 1);
  CHECK(variant_given(9) == 2);
  CHECK(variant_given(8) == 1);
  CHECK(variant_given(7) == 3);
  CHECK_FALSE(schedule.has_open());
}

TEST_CASE("a worker without work takes the group with the most work per worker on it") {
  // Worker 0 is on group 1, of which 60 are left: 30 for each of two; group 2 has 40 for one.
  const Plan plan = plan_of({{{1}, 70}, {{1}, 60}, {{2}, 40}, {{3}, 35}});
  Schedule schedule(plan, all_units(plan));
  CHECK(schedule.next(0) == 0);
  CHECK(schedule.next(1) == 2);
  CHECK(schedule.next(2) == 3);
  CHECK(schedule.next(3) == 1);
}

TEST_CASE("a worker that changes its group counts there no longer") {
  const Plan plan = plan_of({{{1}, 100}, {{1}, 99}, {{2}, 90}, {{2}, 85}, {{3}, 40}});
  Schedule schedule(plan, all_units(plan));
  CHECK(schedule.next(0) == 0);
  CHECK(schedule.next(1) == 2);
  CHECK(schedule.next(2) == 1);
  schedule.complete(0);
  CHECK(schedule.next(0) == 3);
  schedule.give_back(1);
  // The 99 have worker 2 on them, no longer worker 0: 49.5 for each of two, more than the 40.
  CHECK(schedule.next(3) == 1);
}

TEST_CASE("near the end a worker leaves its group for a much longer unit, before that not") {
  const Plan near_end = plan_of({{{1}, 10}, {{1}, 9}, {{2}, 20}, {{2}, 19}});
  Schedule schedule(near_end, all_units(near_end));
  CHECK(schedule.next(0) == 2);
  CHECK(schedule.next(1) == 0);
  CHECK(schedule.next(1) == 3);
  CHECK(schedule.next(1) == 1);

  std::vector<UnitSpec> specs{{{2}, 20}, {{2}, 20}};
  for (int i = 0; i < 30; ++i) specs.push_back({{1}, 10});
  const Plan early = plan_of(specs);
  Schedule other(early, all_units(early));
  CHECK(other.next(0) == 2);
  CHECK(other.next(0) == 3);
}

TEST_CASE("only what fits is dealt, the longest of that first") {
  const Plan plan = plan_of({{{0}, 9}, {{0}, 5}, {{1}, 20}, {{1}, 3}});
  Schedule schedule(plan, all_units(plan));
  const auto fits = [&](int32_t unit) { return plan.units[static_cast<size_t>(unit)].flops < 6; };
  CHECK(schedule.next(0, fits) == 1);
  CHECK(schedule.next(0, fits) == 3);
  CHECK_FALSE(schedule.next(0, fits));
  CHECK(schedule.has_open());
  CHECK(schedule.next(0) == 0);
}

TEST_CASE("only open units are dealt") {
  const Plan plan = plan_of({{{0}, 1}, {{0}, 2}, {{1}, 3}});
  Schedule schedule(plan, {1});
  CHECK(schedule.remaining_flops() == 2);
  CHECK(schedule.next(0) == 1);
  CHECK_FALSE(schedule.next(0).has_value());
  CHECK_FALSE(schedule.is_done());
  schedule.complete(1);
  CHECK(schedule.is_done());
  CHECK(schedule.remaining_flops() == 0);
  CHECK(Schedule(plan, {}).is_done());
}

TEST_CASE("a unit given back is dealt again") {
  const Plan plan = plan_of({{{0}, 5}});
  Schedule schedule(plan, {0});
  CHECK(schedule.next(0) == 0);
  CHECK_FALSE(schedule.has_open());
  schedule.give_back(0);
  CHECK(schedule.has_open());
  CHECK_FALSE(schedule.is_done());
  CHECK(schedule.remaining_flops() == 5);
  CHECK(schedule.next(1) == 0);
}

TEST_CASE("all units are dealt and completed once, for any number of workers in any order") {
  for (int32_t num_workers = 1; num_workers <= 16; ++num_workers) {
    std::mt19937 random(static_cast<uint32_t>(num_workers));
    for (int trial = 0; trial < 100; ++trial) {
      const Plan plan = random_plan(random);
      Schedule schedule(plan, all_units(plan));
      std::vector<int> num_completed(plan.units.size(), 0);
      std::vector<std::optional<int32_t>> held(static_cast<size_t>(num_workers));
      std::vector<bool> is_held(plan.units.size(), false);
      for (int step = 0; !schedule.is_done(); ++step) {
        REQUIRE(step < 100'000);
        const auto worker = static_cast<size_t>(random() % static_cast<size_t>(num_workers));
        if (!held[worker]) {
          held[worker] = schedule.next(static_cast<int32_t>(worker));
          if (!held[worker]) {
            REQUIRE_FALSE(schedule.has_open());
            continue;
          }
          const auto unit = static_cast<size_t>(*held[worker]);
          REQUIRE_FALSE(is_held[unit]);
          REQUIRE(num_completed[unit] == 0);
          is_held[unit] = true;
          continue;
        }
        const int32_t unit = *std::exchange(held[worker], std::nullopt);
        is_held[static_cast<size_t>(unit)] = false;
        if (random() % 4 == 0) {
          schedule.give_back(unit);
        } else {
          schedule.complete(unit);
          ++num_completed[static_cast<size_t>(unit)];
        }
      }
      REQUIRE(num_completed == std::vector<int>(plan.units.size(), 1));
      REQUIRE_FALSE(schedule.next(0).has_value());
    }
  }
}
