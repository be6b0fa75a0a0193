#include "sweep/simulation.hpp"

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
      REQUIRE(simulation.units_given_up().empty());
    }
  }
}

TEST_CASE("runs with every fault end, and commit every record once unless its unit was given up") {
  const Plan plan = small_plan();
  const std::vector<Behaviour> behaviours{
      {.dies = 10},
      {.dies = 30, .repeats = 20},
      {.task_fails = 5, .repeats = 30, .restarts = 20},
      {.dies = 10, .gives_up = 10},
      {.dies = 10, .task_fails = 2, .repeats = 20, .restarts = 10, .gives_up = 5, .wrong_count = 5},
      {.dies = 60, .gives_up = 30},
  };
  size_t num_given_up = 0;
  for (uint32_t seed = 0; seed < 2400; ++seed) {
    const Behaviour& behaviour = behaviours[seed % behaviours.size()];
    const auto num_workers = static_cast<int32_t>(1 + seed / behaviours.size() % 8);
    CAPTURE(seed, num_workers);
    Simulation simulation(plan, RecordTable(plan), num_workers, behaviour, seed);
    simulation.run();
    check_committed(plan, simulation, true);
    REQUIRE(simulation.master().is_complete() == simulation.units_given_up().empty());
    num_given_up += simulation.units_given_up().size();
    std::set<int32_t> completed;
    for (const int32_t variant : simulation.master().take_completed_variants()) {
      REQUIRE(completed.insert(variant).second);
    }
    for (int32_t variant = 0; variant < static_cast<int32_t>(plan.variants.size()); ++variant) {
      REQUIRE(
          (completed.count(variant) == 1) == simulation.master().records().is_complete(variant));
    }
  }
  CHECK(num_given_up > 100);
}

TEST_CASE("runs that are drained at any moment end with what was leased") {
  const Plan plan = small_plan();
  for (uint32_t seed = 0; seed < 500; ++seed) {
    CAPTURE(seed);
    const Behaviour behaviour{.dies = 10, .repeats = 10, .restarts = 10, .gives_up = 3};
    Simulation simulation(
        plan, RecordTable(plan), static_cast<int32_t>(1 + seed % 8), behaviour, seed);
    simulation.run(static_cast<int>(seed % 200));
    check_committed(plan, simulation, false);
  }
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
