#include "prune_sweep/sweep/master.hpp"

#include "sweep/simulation.hpp"

using namespace prune_sweep;

namespace {

/// The leases among `actions`, by worker.
std::map<int32_t, Lease> leases_in(const std::vector<Action>& actions) {
  std::map<int32_t, Lease> leases;
  for (const Action& action : actions) {
    const auto* send = std::get_if<Send>(&action);
    if (send == nullptr) continue;
    if (const auto* lease = std::get_if<Lease>(&send->message))
      leases.emplace(send->worker, *lease);
  }
  return leases;
}

const ResultEntry* result_in(const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    const auto* commit = std::get_if<Commit>(&action);
    if (commit == nullptr) continue;
    if (const auto* result = std::get_if<ResultEntry>(&commit->entry)) return result;
  }
  return nullptr;
}

const FailureEntry* failure_in(const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    const auto* commit = std::get_if<Commit>(&action);
    if (commit == nullptr) continue;
    if (const auto* failure = std::get_if<FailureEntry>(&commit->entry)) return failure;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("the plan of these tests has groups and units enough") {
  const Plan plan = small_plan();
  std::set<std::vector<int32_t>> groups;
  for (const Unit& unit : plan.units) groups.insert(unit.variants);
  CHECK(groups.size() >= 2);
  CHECK(plan.units.size() >= 15);
}

TEST_CASE("a worker that is ready gets a lease, written as its unit") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  const auto actions = master.on_message(2, kReady, 5);
  REQUIRE(actions.size() == 2);
  const auto& worker = std::get<WorkerEntry>(std::get<Commit>(actions[0]).entry);
  CHECK(worker.rank == 2);
  CHECK(worker.host == "host");
  CHECK(worker.device == "cpu");
  CHECK(worker.torch_version == "2.11");
  const auto leases = leases_in(actions);
  REQUIRE(leases.count(2) == 1);
  const Lease& lease = leases.at(2);
  const Unit& unit = plan.units[static_cast<size_t>(lease.unit)];
  CHECK(unit.variants.front() == 0);  // the baseline first
  CHECK(lease.attempt == 1);
  CHECK(lease.benchmark == plan.benchmarks[static_cast<size_t>(unit.benchmark)].name);
  REQUIRE(lease.variant_names.size() == unit.variants.size());
  CHECK(lease.variant_names[0] == "baseline");
  CHECK(lease.variant_edits[0] == "");
  CHECK(lease.variant_names[1] == "drop-00");
  CHECK(lease.variant_edits[1] == "0 drop");
  CHECK(lease.questions.size() == static_cast<size_t>(unit.num_questions));
  CHECK(lease.questions.front() == unit.first_question);
}

TEST_CASE("a result is committed before it is acknowledged, and then comes the next lease") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  const Lease lease = leases_in(master.on_message(1, kReady, 5)).at(1);
  const double flops = master.remaining_flops();
  const auto actions = master.on_message(1, result_of(plan, lease), 8);
  REQUIRE(actions.size() == 3);
  const auto& entry = std::get<ResultEntry>(std::get<Commit>(actions[0]).entry);
  CHECK(entry.unit == lease.unit);
  CHECK(entry.attempt == 1);
  CHECK(entry.rank == 1);
  CHECK(entry.started_s == 5);
  CHECK(entry.elapsed_s == 0.5);
  CHECK(std::get<Committed>(std::get<Send>(actions[1]).message).unit == lease.unit);
  CHECK(std::get<Send>(actions[1]).worker == 1);
  CHECK(std::get<Lease>(std::get<Send>(actions[2]).message).unit != lease.unit);
  CHECK(master.remaining_flops() < flops);
}

TEST_CASE("a result of an earlier attempt, of another unit or of another worker is dropped") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  const Lease first = leases_in(master.on_message(1, kReady, 5)).at(1);
  Lease again =
      leases_in(master.on_message(1, failure_of(first, FailureClass::kInfrastructure), 6)).at(1);
  REQUIRE(again.unit == first.unit);
  CHECK(again.attempt == 2);
  CHECK(master.on_message(1, result_of(plan, first), 7).empty());
  Result other_unit = result_of(plan, again);
  other_unit.unit += 1;
  CHECK(master.on_message(1, other_unit, 7).empty());
  CHECK(master.on_message(9, result_of(plan, again), 7).empty());
  CHECK(master.on_message(1, failure_of(first, FailureClass::kTask), 7).empty());
  CHECK(master.records().num_records() == 0);
  CHECK(master.num_units_given_up() == 0);
  CHECK(result_in(master.on_message(1, result_of(plan, again), 8)) != nullptr);
  CHECK(master.on_message(1, result_of(plan, again), 9).empty());
}

TEST_CASE("a result with the wrong number or kind of records is a failure of the attempt") {
  const Plan plan = small_plan();
  for (const bool wrong_kind : {false, true}) {
    CAPTURE(wrong_kind);
    Master master(plan, RecordTable(plan));
    const Lease lease = leases_in(master.on_message(1, kReady, 5)).at(1);
    Result result = result_of(plan, lease);
    if (wrong_kind) {
      result.kind = static_cast<BenchmarkKind>(1 - static_cast<int>(result.kind));
    } else {
      result.records.pop_back();
    }
    const auto actions = master.on_message(1, result, 9);
    CHECK(result_in(actions) == nullptr);
    const FailureEntry* failure = failure_in(actions);
    REQUIRE(failure != nullptr);
    CHECK_FALSE(failure->given_up);
    CHECK(failure->elapsed_s == 4);
    CHECK(leases_in(actions).at(1).attempt == 2);
    CHECK(master.records().num_records() == 0);
  }
}

TEST_CASE("a unit whose evaluator dies three times is given up, on whatever workers") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  Lease lease = leases_in(master.on_message(0, kReady, 5)).at(0);
  const int32_t unit = lease.unit;
  for (int attempt = 1; attempt <= 3; ++attempt) {
    CHECK(lease.unit == unit);
    CHECK(lease.attempt == attempt);
    const auto actions = master.on_message(0, failure_of(lease, FailureClass::kInfrastructure), 6);
    REQUIRE(failure_in(actions) != nullptr);
    CHECK(failure_in(actions)->text == "died");
    CHECK(failure_in(actions)->given_up == (attempt == 3));
    lease = leases_in(actions).at(0);
  }
  CHECK(lease.unit != unit);
  CHECK(master.num_units_given_up() == 1);
}

TEST_CASE("a failure of the task or its input gives the unit up at once") {
  for (const FailureClass failure : {FailureClass::kTask, FailureClass::kInput}) {
    const Plan plan = small_plan();
    Master master(plan, RecordTable(plan));
    const Lease lease = leases_in(master.on_message(0, kReady, 5)).at(0);
    const auto actions = master.on_message(0, failure_of(lease, failure), 6);
    REQUIRE(failure_in(actions) != nullptr);
    CHECK(failure_in(actions)->given_up);
    CHECK(leases_in(actions).at(0).unit != lease.unit);
    CHECK(master.num_units_given_up() == 1);
  }
}

TEST_CASE("a worker that is ready again keeps its lease") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  const Lease lease = leases_in(master.on_message(3, kReady, 5)).at(3);
  CHECK(leases_in(master.on_message(3, kReady, 6)).empty());
  CHECK(result_in(master.on_message(3, result_of(plan, lease), 7)) != nullptr);
}

TEST_CASE("what a worker held that cannot start any more goes to another one") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  master.on_message(0, kReady, 5);
  const Lease lost = leases_in(master.on_message(1, kReady, 5)).at(1);
  const auto actions =
      master.on_message(1, Failure{-1, 0, FailureClass::kInfrastructure, "cannot start"}, 6);
  CHECK(leases_in(actions).empty());
  CHECK(master.fatal_error().empty());
  CHECK(result_in(master.on_message(1, result_of(plan, lost), 7)) == nullptr);
  // The only worker left does everything.
  std::set<int32_t> units;
  for (Lease lease = leases_in(master.on_message(2, kReady, 8)).at(2);;) {
    CHECK(units.insert(lease.unit).second);
    const auto leases = leases_in(master.on_message(2, result_of(plan, lease), 9));
    if (leases.empty()) break;
    lease = leases.at(2);
  }
  CHECK(units.count(lost.unit) == 1);
  CHECK(units.size() == plan.units.size() - 1);  // all but the one of worker 0
}

TEST_CASE(
    "when rank 0 or any worker's input cannot be used, nothing goes on and the reason is kept") {
  const Plan plan = small_plan();
  {
    Master master(plan, RecordTable(plan));
    const Lease lease = leases_in(master.on_message(1, kReady, 5)).at(1);
    master.on_message(0, Failure{-1, 0, FailureClass::kInfrastructure, "no libtorch"}, 6);
    CHECK(master.fatal_error() == "no libtorch");
    // What is at work is still taken, but nothing new is given out.
    CHECK_FALSE(master.is_finished());
    const auto actions = master.on_message(1, result_of(plan, lease), 7);
    CHECK(result_in(actions) != nullptr);
    CHECK(leases_in(actions).empty());
    CHECK(master.is_finished());
    CHECK_FALSE(master.is_complete());
  }
  Master master(plan, RecordTable(plan));
  master.on_message(3, Failure{-1, 0, FailureClass::kInput, "other data"}, 6);
  CHECK(master.fatal_error() == "other data");
  CHECK(master.is_finished());
}

TEST_CASE("a draining master takes what is leased and gives out nothing") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  const Lease lease = leases_in(master.on_message(1, kReady, 5)).at(1);
  master.drain();
  CHECK_FALSE(master.is_finished());
  CHECK(leases_in(master.on_message(2, kReady, 6)).empty());
  const auto actions = master.on_message(1, result_of(plan, lease), 7);
  CHECK(result_in(actions) != nullptr);
  CHECK(leases_in(actions).empty());
  CHECK(master.is_finished());
  CHECK_FALSE(master.is_complete());

  Master idle(plan, RecordTable(plan));
  idle.drain();
  CHECK(idle.is_finished());
}

TEST_CASE("a variant is reported once, when its last record is there") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  std::vector<int32_t> completed;
  for (Lease lease = leases_in(master.on_message(0, kReady, 5)).at(0);;) {
    const auto leases = leases_in(master.on_message(0, result_of(plan, lease), 6));
    for (const int32_t variant : master.take_completed_variants()) {
      CHECK(master.records().is_complete(variant));
      completed.push_back(variant);
    }
    if (leases.empty()) break;
    lease = leases.at(0);
  }
  CHECK(std::set<int32_t>(completed.begin(), completed.end()).size() == plan.variants.size());
  CHECK(completed.size() == plan.variants.size());
  CHECK(master.is_complete());
  CHECK(master.is_finished());
  CHECK(master.remaining_flops() == Approx(0).margin(1e-3));
}

TEST_CASE("a resumed run leases only what is missing") {
  const Plan plan = small_plan();
  std::mt19937 random(23);
  for (int trial = 0; trial < 100; ++trial) {
    RecordTable table(plan);
    for (const Unit& unit : plan.units) {
      for (const RecordIndex at : records_of(unit)) {
        if (random() % 20 != 0) table.insert(at, record_of(plan, at));
      }
    }
    const auto is_missing = [&](const Unit& unit, int32_t question) {
      for (const int32_t variant : unit.variants) {
        if (table.find({unit.benchmark, variant, question}) == nullptr) return true;
      }
      return false;
    };
    Master master(plan, table);
    std::set<int32_t> leased;
    for (auto leases = leases_in(master.on_message(0, kReady, 5)); !leases.empty();) {
      const Lease lease = leases.at(0);
      const Unit& unit = plan.units[static_cast<size_t>(lease.unit)];
      REQUIRE(leased.insert(lease.unit).second);
      std::vector<int32_t> expected;
      for (int32_t q = unit.first_question; q < unit.first_question + unit.num_questions; ++q) {
        if (is_missing(unit, q)) expected.push_back(q);
      }
      REQUIRE(lease.questions == expected);
      leases = leases_in(master.on_message(0, result_of(plan, lease), 6));
    }
    for (size_t unit = 0; unit < plan.units.size(); ++unit) {
      bool open = false;
      const Unit& work = plan.units[unit];
      for (int32_t q = work.first_question; q < work.first_question + work.num_questions; ++q) {
        open = open || is_missing(work, q);
      }
      REQUIRE(leased.count(static_cast<int32_t>(unit)) == (open ? 1 : 0));
    }
    REQUIRE(master.is_complete());
    REQUIRE(master.is_finished());
  }
}

TEST_CASE("a run that was complete is finished before any worker is there") {
  const Plan plan = small_plan();
  RecordTable table(plan);
  for (const Unit& unit : plan.units) {
    for (const RecordIndex at : records_of(unit)) table.insert(at, record_of(plan, at));
  }
  Master master(plan, table);
  CHECK(master.is_complete());
  CHECK(master.is_finished());
  CHECK(master.remaining_flops() == 0);
  CHECK(leases_in(master.on_message(0, kReady, 5)).empty());
}
