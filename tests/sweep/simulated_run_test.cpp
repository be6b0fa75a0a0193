#include "sweep/simulation.hpp"

#include <cstdio>

using namespace prune_sweep;

TEST_CASE("runs without faults commit every record once, for 1 to 8 workers") {
  const Plan plan = small_plan();
  for (int32_t num_workers = 1; num_workers <= 8; ++num_workers) {
    for (uint32_t seed = 0; seed < 50; ++seed) {
      CAPTURE(num_workers, seed);
      Simulation simulation(plan, RecordTable(plan), num_workers, {}, seed);
      simulation.run();
      check_committed(plan, simulation, true);
      REQUIRE(simulation.master().is_complete());
      REQUIRE(simulation.quarantined().empty());
    }
  }
}

namespace {

const std::vector<Behaviour>& behaviours() {
  static const std::vector<Behaviour> kBehaviours{
      {.dies = 10},
      {.dies = 30, .repeats = 20, .reorders = 20},
      {.repeats = 30, .restarts = 20, .num_failing = 2},
      {.dies = 10, .gives_up = 10, .num_poisoned = 1},
      {.dies = 10, .reorders = 10, .is_slow = 20, .num_poisoned = 2, .num_failing = 1},
      {.rank_dies = 10, .rank_sleeps = 10, .is_slow = 10},
      {.dies = 40, .gives_up = 30, .num_poisoned = 3},
      {.dies = 10,
       .repeats = 20,
       .reorders = 10,
       .restarts = 10,
       .gives_up = 5,
       .wrong_count = 5,
       .rank_dies = 5,
       .rank_sleeps = 10,
       .is_slow = 10,
       .num_poisoned = 1,
       .num_failing = 1},
  };
  return kBehaviours;
}

/// What happened in many runs, so that a fault that never struck would show.
struct Tally {
  size_t num_runs = 0;
  size_t num_quarantined = 0;
  int64_t num_copies = 0;
  int64_t num_compared = 0;
  size_t num_with_lost_ranks = 0;
};

void run_with_faults(const Plan& plan, uint32_t seed, Tally& tally) {
  const Behaviour& behaviour = behaviours()[seed % behaviours().size()];
  const auto num_workers = static_cast<int32_t>(1 + seed / behaviours().size() % 8);
  CAPTURE(seed, num_workers);
  Simulation simulation(plan, RecordTable(plan), num_workers, behaviour, seed);
  simulation.run();
  REQUIRE(simulation.master().fatal_error().empty());
  check_committed(plan, simulation, true);
  REQUIRE(simulation.master().is_complete() == simulation.quarantined().empty());
  std::set<int32_t> completed;
  for (const int32_t variant : simulation.master().take_completed_variants()) {
    REQUIRE(completed.insert(variant).second);
  }
  for (int32_t variant = 0; variant < static_cast<int32_t>(plan.variants.size()); ++variant) {
    REQUIRE((completed.count(variant) == 1) == simulation.master().records().is_complete(variant));
  }
  ++tally.num_runs;
  tally.num_quarantined += simulation.quarantined().size();
  tally.num_copies += simulation.num_copies();
  tally.num_compared += simulation.num_compared();
  tally.num_with_lost_ranks += simulation.master().has_lost_rank() ? 1 : 0;
}

void run_many(uint32_t num_runs) {
  const Plan plan = small_plan();
  Tally tally;
  for (uint32_t seed = 0; seed < num_runs; ++seed) run_with_faults(plan, seed, tally);
  CHECK(tally.num_quarantined > num_runs);
  CHECK(tally.num_copies > num_runs / 20);
  CHECK(tally.num_compared > 0);
  CHECK(tally.num_with_lost_ranks > num_runs / 20);
  std::printf(
      "%zu schedules, 0 violations: %zu records in quarantine, %ld copies of stragglers, %ld "
      "records compared, ranks lost in %zu runs\n",
      tally.num_runs,
      tally.num_quarantined,
      tally.num_copies,
      tally.num_compared,
      tally.num_with_lost_ranks);
}

}  // namespace

TEST_CASE("runs with every fault end, commit every record once and quarantine what is poisoned") {
  run_many(2400);
}

TEST_CASE("the same over 100,000 schedules", "[.soak]") { run_many(100'000); }

TEST_CASE("runs that are drained at any moment end with what was leased, or a part of it") {
  const Plan plan = small_plan();
  int num_partial = 0;
  for (uint32_t seed = 0; seed < 500; ++seed) {
    CAPTURE(seed);
    const Behaviour behaviour{
        .dies = 10, .repeats = 10, .restarts = 10, .gives_up = 3, .rank_dies = 5, .rank_sleeps = 5};
    Simulation simulation(
        plan, RecordTable(plan), static_cast<int32_t>(1 + seed % 8), behaviour, seed);
    simulation.run(static_cast<int>(seed % 200));
    check_committed(plan, simulation, false);
    num_partial += simulation.num_partial();
  }
  CHECK(num_partial > 100);
}

TEST_CASE("runs that were stopped and go on with other workers come to the same records") {
  const Plan plan = small_plan();
  for (uint32_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    RecordTable table(plan);
    std::map<RecordIndex, int> committed;
    for (uint32_t start = 0; start < 100 && table.num_records() < plan.num_records(); ++start) {
      Simulation simulation(
          plan,
          table,
          static_cast<int32_t>(1 + (seed + start) % 8),
          {.dies = 10, .repeats = 10},
          seed + 1000 * start);
      simulation.run(static_cast<int>(40 + seed % 50));
      for (const auto& [at, times] : simulation.committed()) committed[at] += times;
      table = simulation.master().records();
    }
    REQUIRE(table.num_records() == plan.num_records());
    REQUIRE(static_cast<int64_t>(committed.size()) == plan.num_records());
    for (const auto& [at, times] : committed) {
      REQUIRE(times == 1);
      REQUIRE(*table.find(at) == record_of(plan, at));
    }
  }
}
