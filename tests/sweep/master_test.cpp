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

std::vector<QuarantineEntry> quarantines_in(const std::vector<Action>& actions) {
  std::vector<QuarantineEntry> list;
  for (const Action& action : actions) {
    const auto* commit = std::get_if<Commit>(&action);
    if (commit == nullptr) continue;
    if (const auto* entry = std::get_if<QuarantineEntry>(&commit->entry)) list.push_back(*entry);
  }
  return list;
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
  CHECK(master.num_quarantined() == 0);
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

TEST_CASE("a unit is tried twice here and once elsewhere, then in halves") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  Lease lease = leases_in(master.on_message(0, kReady, 5)).at(0);
  const Lease other = leases_in(master.on_message(1, kReady, 5)).at(1);
  const Lease whole = lease;
  REQUIRE(whole.questions.size() > 1);
  const auto crash = FailureClass::kInfrastructure;
  auto actions = master.on_message(0, failure_of(lease, crash), 6);
  CHECK(failure_in(actions)->text == "died");
  lease = leases_in(actions).at(0);
  CHECK(lease.unit == whole.unit);
  CHECK(lease.attempt == 2);
  // After two crashes here the other worker gets it.
  actions = master.on_message(0, failure_of(lease, crash), 7);
  CHECK(leases_in(actions).at(0).unit != whole.unit);
  actions = master.on_message(1, result_of(plan, other), 8);
  lease = leases_in(actions).at(1);
  CHECK(lease.unit == whole.unit);
  CHECK(lease.questions == whole.questions);
  actions = master.on_message(1, failure_of(lease, crash), 9);
  CHECK_FALSE(failure_in(actions)->given_up);
  lease = leases_in(actions).at(1);
  CHECK(lease.unit == whole.unit);
  CHECK(lease.questions.size() == whole.questions.size() / 2);
  CHECK(lease.questions.front() == whole.questions.front());
  CHECK(master.num_quarantined() == 0);
}

TEST_CASE("the question that kills alone is quarantined, all else of its unit is computed") {
  const Plan plan = small_plan();
  for (const FailureClass failure : {FailureClass::kInfrastructure, FailureClass::kTask}) {
    Master master(plan, RecordTable(plan));
    std::vector<QuarantineEntry> quarantined;
    int num_failures = 0;
    for (auto leases = leases_in(master.on_message(0, kReady, 5)); !leases.empty();) {
      const Lease lease = leases.at(0);
      const bool is_bad =
          lease.benchmark == "mmlu" && lease.questions.front() <= 4 && lease.questions.back() >= 4;
      num_failures += is_bad ? 1 : 0;
      const auto actions = is_bad ? master.on_message(0, failure_of(lease, failure, "bad"), 6)
                                  : master.on_message(0, result_of(plan, lease), 6);
      for (const QuarantineEntry& entry : quarantines_in(actions)) quarantined.push_back(entry);
      leases = leases_in(actions);
    }
    CHECK(master.is_finished());
    CHECK_FALSE(master.is_complete());
    CHECK(master.num_quarantined() == 1);
    const BenchmarkPlan& mmlu = plan.benchmarks[0];
    size_t num_variants = 0;
    for (const QuarantineEntry& entry : quarantined) {
      CHECK(entry.question_key == question_key(mmlu, mmlu.questions[4]));
      CHECK(entry.reason == "bad");
      num_variants += entry.variant_keys.size();
    }
    CHECK(num_variants == plan.variants.size());
    CHECK(
        master.records().num_records() ==
        plan.num_records() - static_cast<int64_t>(plan.variants.size()));
    // An error of the task would come again: a try for each cut. A crash may be chance.
    const auto num_groups = static_cast<int>(quarantined.size());
    const bool is_crash = failure == FailureClass::kInfrastructure;
    CHECK(num_failures >= num_groups * (is_crash ? 3 : 1));
    CHECK(num_failures <= num_groups * (is_crash ? 9 : 4));
  }
}

TEST_CASE("what is in quarantine is not tried again, unless it is left out of the settings") {
  const Plan plan = small_plan();
  MasterSettings settings;
  settings.quarantines.push_back({0, 4, {}, "bad"});
  for (int32_t v = 0; v < static_cast<int32_t>(plan.variants.size()); ++v) {
    settings.quarantines[0].variants.push_back(v);
  }
  Master master(plan, RecordTable(plan), settings);
  CHECK(master.num_quarantined() == 1);
  for (auto leases = leases_in(master.on_message(0, kReady, 5)); !leases.empty();) {
    const Lease lease = leases.at(0);
    if (lease.benchmark == "mmlu") {
      CHECK(std::find(lease.questions.begin(), lease.questions.end(), 4) == lease.questions.end());
    }
    leases = leases_in(master.on_message(0, result_of(plan, lease), 6));
  }
  CHECK(master.is_finished());
  CHECK_FALSE(master.is_complete());
}

TEST_CASE("a device with faults over three units is drained, and another does its work") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan), {.num_workers = 2});
  Lease other = leases_in(master.on_message(1, kReady, 5)).at(1);
  std::set<int32_t> units;
  double now_s = 10;
  auto leases = leases_in(master.on_message(0, kReady, 5));
  while (leases.count(0) == 1) {
    REQUIRE(units.size() < 4);
    units.insert(leases.at(0).unit);
    const auto crash = failure_of(leases.at(0), FailureClass::kInfrastructure);
    leases = leases_in(master.on_message(0, crash, now_s++));
  }
  CHECK(units.size() == 3);
  while (true) {
    const auto next = leases_in(master.on_message(1, result_of(plan, other), now_s++));
    CHECK(next.count(0) == 0);
    if (next.count(1) == 0) break;
    other = next.at(1);
  }
  CHECK(master.is_complete());
}

TEST_CASE("faults over three units within more than ten minutes do not drain a device") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan), {.num_workers = 2});
  master.on_message(1, kReady, 5);
  double now_s = 10;
  auto leases = leases_in(master.on_message(0, kReady, 5));
  for (int crash = 0; crash < 6; ++crash) {
    REQUIRE(leases.count(0) == 1);
    now_s += 350;
    leases = leases_in(
        master.on_message(0, failure_of(leases.at(0), FailureClass::kInfrastructure), now_s));
  }
  CHECK(leases.count(0) == 1);
}

TEST_CASE("poisoned units drain no device, and the last device is never drained") {
  const Plan plan = small_plan();
  for (const int32_t num_workers : {1, 2}) {
    Master master(plan, RecordTable(plan), {.num_workers = num_workers});
    std::map<int32_t, Lease> held;
    const auto take = [&](const std::vector<Action>& actions) {
      for (const Action& action : actions) {
        const auto* note = std::get_if<Note>(&action);
        if (note != nullptr) CHECK(note->text.find("no more work") == std::string::npos);
      }
      for (const auto& [worker, lease] : leases_in(actions)) held[worker] = lease;
    };
    for (int32_t worker = 0; worker < num_workers; ++worker) {
      take(master.on_message(worker, kReady, 5));
    }
    int num_crashes = 0;
    for (double now_s = 10; !held.empty(); ++now_s) {
      const auto [worker, lease] = *held.begin();
      held.erase(held.begin());
      const bool kills =
          lease.benchmark == "mmlu" && lease.questions.front() <= 4 && lease.questions.back() >= 4;
      num_crashes += kills ? 1 : 0;
      take(
          kills ? master.on_message(worker, failure_of(lease, FailureClass::kInfrastructure), now_s)
                : master.on_message(worker, result_of(plan, lease), now_s));
    }
    CHECK(num_crashes > 9);
    CHECK(master.is_finished());
    CHECK(master.num_quarantined() == 1);
  }
}

TEST_CASE("evaluators that die over everything end the run, to be resumed") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  int num_crashes = 0;
  for (auto leases = leases_in(master.on_message(0, kReady, 5)); !leases.empty(); ++num_crashes) {
    REQUIRE(num_crashes < 100);
    leases =
        leases_in(master.on_message(0, failure_of(leases.at(0), FailureClass::kInfrastructure), 6));
  }
  CHECK(master.is_finished());
  CHECK_THAT(master.fatal_error(), ContainsSubstring("died"));
  CHECK(master.fatal_class() == FailureClass::kInfrastructure);
}

TEST_CASE("a rank that is silent is lost, its lease goes to another, and it may come back") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan), {.num_workers = 2, .rank_silence_s = 30});
  master.on_tick(100);
  const Lease lost = leases_in(master.on_message(1, kReady, 100)).at(1);
  Lease lease = leases_in(master.on_message(0, kReady, 100)).at(0);
  for (double now_s = 105; now_s <= 130; now_s += 5) {
    master.on_message(0, Heartbeat{WorkerState::kAtWork}, now_s);
    CHECK(master.on_tick(now_s).empty());
  }
  CHECK_FALSE(master.has_lost_rank());
  master.on_message(0, Heartbeat{WorkerState::kAtWork}, 135);
  master.on_tick(135);
  CHECK(master.has_lost_rank());
  // Its late result is fenced off; while it is at work it gets nothing.
  CHECK(master.on_message(1, result_of(plan, lost), 136).empty());
  CHECK(leases_in(master.on_message(1, Heartbeat{WorkerState::kAtWork}, 136)).empty());
  lease = leases_in(master.on_message(0, result_of(plan, lease), 137)).at(0);
  CHECK(lease.unit == lost.unit);
  CHECK(lease.attempt > lost.attempt);
  CHECK(leases_in(master.on_message(1, Heartbeat{WorkerState::kIdle}, 138)).count(1) == 1);
}

TEST_CASE("a master that slept itself takes nobody for lost") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan), {.num_workers = 2, .rank_silence_s = 30});
  master.on_tick(100);
  master.on_message(0, kReady, 100);
  master.on_message(1, kReady, 100);
  CHECK(master.on_tick(5000).empty());
  CHECK_FALSE(master.has_lost_rank());
}

TEST_CASE("near the end a slow lease is copied, the first result wins, the second is compared") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan), {.num_workers = 2});
  master.on_tick(100);
  const Lease slow = leases_in(master.on_message(1, kReady, 100)).at(1);
  double now_s = 100;
  for (auto leases = leases_in(master.on_message(0, kReady, now_s)); leases.count(0) == 1;) {
    leases = leases_in(master.on_message(0, result_of(plan, leases.at(0)), ++now_s));
    master.on_message(1, Heartbeat{WorkerState::kAtWork}, now_s);
  }
  CHECK_FALSE(master.is_finished());
  std::map<int32_t, Lease> copies;
  while (copies.empty()) {
    now_s += 1;
    REQUIRE(now_s < 10'000);
    master.on_message(0, Heartbeat{WorkerState::kIdle}, now_s);
    master.on_message(1, Heartbeat{WorkerState::kAtWork}, now_s);
    copies = leases_in(master.on_tick(now_s));
  }
  const Lease copy = copies.at(0);
  CHECK(copy.unit == slow.unit);
  CHECK(copy.questions == slow.questions);
  CHECK(copy.attempt != slow.attempt);
  CHECK(result_in(master.on_message(0, result_of(plan, copy), now_s)) != nullptr);
  CHECK(master.is_finished());
  CHECK(master.is_complete());
  Result second = result_of(plan, slow);
  second.records.front().generated_tokens += 1;
  if (!second.records.front().loglik.empty()) second.records.front().loglik[0] += 1;
  const auto actions = master.on_message(1, second, now_s);
  REQUIRE(actions.size() == 1);
  const auto& duplicate = std::get<DuplicateEntry>(std::get<Commit>(actions[0]).entry);
  CHECK(duplicate.num_different == 1);
  CHECK(duplicate.num_same == static_cast<int64_t>(second.records.size()) - 1);
}

TEST_CASE("before a deadline nothing is leased that would end after it") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan), {.num_workers = 1, .deadline_s = 200});
  master.on_tick(100);
  double now_s = 100;
  int64_t num_leases = 0;
  for (auto leases = leases_in(master.on_message(0, kReady, now_s)); leases.count(0) == 1;) {
    const Lease lease = leases.at(0);
    const double flops = plan.units[static_cast<size_t>(lease.unit)].flops;
    now_s += 20 * flops / plan.units[0].flops;
    ++num_leases;
    leases = leases_in(master.on_message(0, result_of(plan, lease), now_s));
  }
  master.on_tick(now_s);
  CHECK(num_leases > 1);
  CHECK(now_s <= 200);
  CHECK(master.is_past_deadline());
  CHECK(master.is_finished());
  CHECK_FALSE(master.is_complete());
}

TEST_CASE("the gate is asked once for each benchmark, when the baseline is there, and may end it") {
  const Plan plan = small_plan();
  for (const bool is_wrong : {false, true}) {
    std::vector<int32_t> asked;
    MasterSettings settings;
    settings.gate = [&](const RecordTable& records, int32_t benchmark) {
      asked.push_back(benchmark);
      const auto last = static_cast<int32_t>(
          plan.benchmarks[static_cast<size_t>(benchmark)].questions.size() - 1);
      CHECK(records.find({benchmark, 0, last}) != nullptr);
      return is_wrong ? std::optional<std::string>("wrong") : std::nullopt;
    };
    Master master(plan, RecordTable(plan), settings);
    for (auto leases = leases_in(master.on_message(0, kReady, 5)); leases.count(0) == 1;) {
      leases = leases_in(master.on_message(0, result_of(plan, leases.at(0)), 6));
    }
    CHECK(master.is_finished());
    CHECK(master.is_complete() == !is_wrong);
    CHECK(master.gate_reason() == (is_wrong ? "wrong" : ""));
    CHECK(asked.size() == (is_wrong ? 1 : plan.benchmarks.size()));
    const size_t num_before = asked.size();
    Master resumed(plan, master.records(), settings);
    CHECK(asked.size() == 2 * num_before);
    CHECK(resumed.is_finished());
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
    "a worker whose input differs is that worker's end; rank 0's, or the last one's, the run's") {
  const Plan plan = small_plan();
  const Failure refused{-1, 0, FailureClass::kInput, "other data"};
  {
    Master master(plan, RecordTable(plan), {.num_workers = 2});
    const Lease lease = leases_in(master.on_message(1, kReady, 5)).at(1);
    master.on_message(0, refused, 6);
    CHECK(master.fatal_error() == "other data");
    CHECK(master.fatal_class() == FailureClass::kInput);
    // What is at work is still taken, but nothing new is given out.
    CHECK_FALSE(master.is_finished());
    const auto actions = master.on_message(1, result_of(plan, lease), 7);
    CHECK(result_in(actions) != nullptr);
    CHECK(leases_in(actions).empty());
    CHECK(master.is_finished());
    CHECK_FALSE(master.is_complete());
  }
  Master master(plan, RecordTable(plan), {.num_workers = 2});
  master.on_message(1, refused, 6);
  CHECK(master.fatal_error().empty());
  CHECK(leases_in(master.on_message(0, kReady, 6)).count(0) == 1);
  master.on_message(0, Failure{-1, 0, FailureClass::kInfrastructure, "no libtorch"}, 7);
  CHECK(master.fatal_error() == "no libtorch");
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

TEST_CASE("a drained worker's finished questions are kept, and the next start has the others") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  const Lease lease = leases_in(master.on_message(1, kReady, 5)).at(1);
  REQUIRE(lease.questions.size() > 1);
  const auto told = master.drain();
  REQUIRE(told.size() == 1);
  const auto& revoke = std::get<Revoke>(std::get<Send>(told.front()).message);
  CHECK(revoke.unit == lease.unit);
  CHECK(revoke.attempt == lease.attempt);
  CHECK(revoke.finished == Finished::kKeep);
  CHECK(master.drain().empty());

  Lease part = lease;
  part.questions.resize(1);
  const auto actions = master.on_message(1, result_of(plan, part), 7);
  REQUIRE(result_in(actions) != nullptr);
  CHECK(result_in(actions)->question_keys.size() == 1);
  CHECK(master.is_finished());

  Master next(plan, master.records());
  const Lease rest = leases_in(next.on_message(0, kReady, 8)).at(0);
  CHECK(rest.unit == lease.unit);
  CHECK(rest.questions == std::vector<int32_t>(lease.questions.begin() + 1, lease.questions.end()));
}

TEST_CASE("a result that is cut short without being asked to is none") {
  const Plan plan = small_plan();
  Master master(plan, RecordTable(plan));
  Lease part = leases_in(master.on_message(1, kReady, 5)).at(1);
  part.questions.resize(1);
  CHECK(result_in(master.on_message(1, result_of(plan, part), 7)) == nullptr);
  CHECK(master.records().num_records() == 0);
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
