/// \file
/// A master and fake workers, to be run with faults of every kind.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "core/plans.hpp"
#include "prune_sweep/sweep/master.hpp"

namespace prune_sweep {

inline constexpr int32_t kLayers = 4;

/// Six variants in three groups, of which one is the baseline under another name; about twenty
/// units.
inline Plan small_plan() {
  auto variants = single_drops(kLayers);
  variants.push_back(pruned(kLayers, 0));
  variants.push_back(pruned(kLayers, 50));
  return make_plan(
      some_context(),
      small_shape(kLayers),
      std::move(variants),
      {choice_benchmark("mmlu", {7, 3, 1}, 100, 1300), generation_benchmark("gsm8k", 5, 3000, 20)});
}

/// A record whose value tells its place, so that a mix-up shows.
inline Record record_of(const Plan& plan, RecordIndex at) {
  Record record;
  const int32_t number = 10'000 * at.benchmark + 100 * at.variant + at.question;
  if (plan.benchmarks[static_cast<size_t>(at.benchmark)].kind == BenchmarkKind::kMultipleChoice) {
    record.loglik = {static_cast<float>(number), -1, -2, -3};
    record.correct = 1;
  } else {
    record.generated_tokens = number;
    record.strict_correct = 0;
  }
  return record;
}

inline Result result_of(const Plan& plan, const Lease& lease) {
  const Unit& unit = plan.units.at(static_cast<size_t>(lease.unit));
  Result result{
      lease.unit,
      lease.attempt,
      0.5,
      plan.benchmarks[static_cast<size_t>(unit.benchmark)].kind,
      {}};
  for (const int32_t variant : unit.variants) {
    for (const int32_t question : lease.questions) {
      result.records.push_back(record_of(plan, {unit.benchmark, variant, question}));
    }
  }
  return result;
}

inline Failure failure_of(
    const Lease& lease, FailureClass failure, const std::string& text = "died") {
  return {lease.unit, lease.attempt, failure, text};
}

inline const Ready kReady{"host", "cpu", "2.11", 1};

/// How the fake workers of a simulation behave, in percent.
struct Behaviour {
  unsigned dies = 0;  ///< while it works: an infrastructure failure, a new evaluator
  unsigned task_fails = 0;
  unsigned repeats = 0;      ///< sends a result once more, later
  unsigned restarts = 0;     ///< says that it is ready while it holds a lease
  unsigned gives_up = 0;     ///< a worker other than 0 leaves for good
  unsigned wrong_count = 0;  ///< a result with a record too few
};

/// A master and its workers, exchanging messages with arbitrary delays; every rule of the exchange
/// is checked.
class Simulation {
 public:
  Simulation(
      const Plan& plan,
      RecordTable records,
      int32_t num_workers,
      Behaviour behaviour,
      uint32_t seed)
      : plan_(plan),
        master_(plan, std::move(records)),
        keys_(variant_keys(plan)),
        behaviour_(behaviour),
        random_(seed),
        workers_(static_cast<size_t>(num_workers)) {
    for (size_t b = 0; b < plan.benchmarks.size(); ++b) {
      const BenchmarkPlan& benchmark = plan.benchmarks[b];
      for (size_t q = 0; q < benchmark.questions.size(); ++q) {
        question_of_key_[question_key(benchmark, benchmark.questions[q])] = static_cast<int32_t>(q);
      }
    }
    for (Worker& worker : workers_) worker.to_master.push_back(kReady);
  }

  /// Goes on until the master is finished; `drain_after` steps it is told to drain.
  void run(int drain_after = -1) {
    for (int step = 0; !master_.is_finished(); ++step) {
      REQUIRE(step < 50'000);
      if (step == drain_after) master_.drain();
      if (master_.is_finished()) break;
      const auto movable = workers_with_something_to_do();
      // Nothing on its way, nothing at work, and not finished: it would hang for ever.
      REQUIRE_FALSE(movable.empty());
      move(movable[random_() % movable.size()]);
    }
    for (const Worker& worker : workers_) REQUIRE_FALSE(worker.master_sees_lease.has_value());
  }

  const Master& master() const { return master_; }
  Master& master() { return master_; }
  const std::map<RecordIndex, int>& committed() const { return committed_; }
  const std::set<int32_t>& units_given_up() const { return given_up_; }
  const std::set<int32_t>& units_leased() const { return leased_; }

 private:
  struct Worker {
    std::deque<Message> to_master;
    std::deque<Message> to_worker;
    std::optional<Lease> lease;              // what the evaluator works on
    std::optional<Lease> master_sees_lease;  // what the master thinks it holds
    std::vector<Result> old_results;
    bool gone = false;
  };

  bool happens(unsigned percent) { return random_() % 100 < percent; }

  std::vector<int32_t> workers_with_something_to_do() const {
    std::vector<int32_t> list;
    for (size_t i = 0; i < workers_.size(); ++i) {
      const Worker& worker = workers_[i];
      if (!worker.to_master.empty() || !worker.to_worker.empty() || worker.lease) {
        list.push_back(static_cast<int32_t>(i));
      }
    }
    return list;
  }

  /// One thing happens to a worker: the master hears it, it hears the master, or it goes on with
  /// its work.
  void move(int32_t index) {
    Worker& worker = workers_[static_cast<size_t>(index)];
    switch (random_() % 3) {
      case 0:
        if (!worker.to_master.empty()) {
          const Message message = worker.to_master.front();
          worker.to_master.pop_front();
          deliver(index, message);
        }
        break;
      case 1:
        if (!worker.to_worker.empty()) {
          const Message message = worker.to_worker.front();
          worker.to_worker.pop_front();
          if (const auto* lease = std::get_if<Lease>(&message); lease && !worker.gone) {
            REQUIRE_FALSE(worker.lease.has_value());
            worker.lease = *lease;
          }
        }
        break;
      default:
        if (worker.lease) work(index, worker);
    }
  }

  void work(int32_t index, Worker& worker) {
    const Lease lease = *worker.lease;
    if (index != 0 && happens(behaviour_.gives_up)) {
      // The evaluator died and cannot be started any more; what it held may be said or not.
      if (random_() % 2 == 0)
        worker.to_master.push_back(failure_of(lease, FailureClass::kInfrastructure));
      worker.to_master.push_back(Failure{-1, 0, FailureClass::kInfrastructure, "cannot start"});
      worker.lease.reset();
      worker.gone = true;
    } else if (happens(behaviour_.dies)) {
      worker.lease.reset();
      worker.to_master.push_back(failure_of(lease, FailureClass::kInfrastructure));
      worker.to_master.push_back(kReady);
    } else if (happens(behaviour_.task_fails)) {
      worker.lease.reset();
      worker.to_master.push_back(failure_of(lease, FailureClass::kTask, "out of memory"));
    } else if (happens(behaviour_.restarts)) {
      worker.to_master.push_back(kReady);
    } else if (happens(behaviour_.repeats) && !worker.old_results.empty()) {
      worker.to_master.push_back(worker.old_results[random_() % worker.old_results.size()]);
    } else if (happens(behaviour_.wrong_count)) {
      worker.lease.reset();
      Result result = result_of(plan_, lease);
      result.records.pop_back();
      worker.to_master.push_back(std::move(result));
    } else if (happens(30)) {
      worker.to_master.push_back(Progress{lease.unit, lease.attempt});
    } else {
      worker.lease.reset();
      worker.old_results.push_back(result_of(plan_, lease));
      worker.to_master.push_back(worker.old_results.back());
    }
  }

  void deliver(int32_t index, const Message& message) {
    Worker& worker = workers_[static_cast<size_t>(index)];
    now_s_ += 1;
    bool current = false;
    if (const auto* result = std::get_if<Result>(&message)) current = is_current(worker, *result);
    if (const auto* failure = std::get_if<Failure>(&message)) {
      current = failure->unit < 0 || is_current(worker, *failure);
    }
    if (current) worker.master_sees_lease.reset();
    std::set<int32_t> units_committed;
    for (const Action& action : master_.on_message(index, message, now_s_)) {
      if (const auto* commit = std::get_if<Commit>(&action)) {
        check_commit(index, commit->entry, current);
        if (const auto* result = std::get_if<ResultEntry>(&commit->entry)) {
          units_committed.insert(result->unit);
        }
      } else {
        check_send(std::get<Send>(action), index, units_committed);
      }
    }
  }

  template <typename Answer>
  bool is_current(const Worker& worker, const Answer& answer) const {
    return worker.master_sees_lease && worker.master_sees_lease->unit == answer.unit &&
           worker.master_sees_lease->attempt == answer.attempt;
  }

  void check_commit(int32_t index, const JournalEntry& entry, bool current) {
    if (const auto* worker = std::get_if<WorkerEntry>(&entry)) {
      REQUIRE(worker->rank == index);
      return;
    }
    // Nothing of an answer to a lease that the worker no longer holds.
    REQUIRE(current);
    if (const auto* failure = std::get_if<FailureEntry>(&entry)) {
      REQUIRE(failure->rank == index);
      REQUIRE(failure->elapsed_s > 0);
      if (failure->given_up) REQUIRE(given_up_.insert(failure->unit).second);
      return;
    }
    const auto& result = std::get<ResultEntry>(entry);
    REQUIRE(result.rank == index);
    const Unit& unit = plan_.units.at(static_cast<size_t>(result.unit));
    REQUIRE(result.variant_keys.size() == unit.variants.size());
    REQUIRE(result.records.size() == result.variant_keys.size() * result.question_keys.size());
    for (size_t v = 0; v < unit.variants.size(); ++v) {
      const int32_t variant = unit.variants[v];
      REQUIRE(
          result.variant_keys[v] ==
          keys_[static_cast<size_t>(variant)][static_cast<size_t>(unit.benchmark)]);
      for (size_t q = 0; q < result.question_keys.size(); ++q) {
        const RecordIndex at{unit.benchmark, variant, question_of_key_.at(result.question_keys[q])};
        REQUIRE(result.records[v * result.question_keys.size() + q] == record_of(plan_, at));
        ++committed_[at];
      }
    }
  }

  void check_send(const Send& send, int32_t from, const std::set<int32_t>& units_committed) {
    Worker& worker = workers_.at(static_cast<size_t>(send.worker));
    if (const auto* committed = std::get_if<Committed>(&send.message)) {
      REQUIRE(send.worker == from);
      REQUIRE(units_committed.count(committed->unit) == 1);
    } else {
      const Lease& lease = std::get<Lease>(send.message);
      REQUIRE_FALSE(master_.is_draining());
      REQUIRE_FALSE(worker.master_sees_lease.has_value());
      REQUIRE(given_up_.count(lease.unit) == 0);
      REQUIRE_FALSE(lease.questions.empty());
      for (const Worker& other : workers_) {
        REQUIRE((!other.master_sees_lease || other.master_sees_lease->unit != lease.unit));
      }
      // Attempts of a unit are numbered upwards: that is what fences late results.
      REQUIRE(lease.attempt > last_attempt_[lease.unit]);
      last_attempt_[lease.unit] = lease.attempt;
      leased_.insert(lease.unit);
      worker.master_sees_lease = lease;
    }
    worker.to_worker.push_back(send.message);
  }

  const Plan& plan_;
  Master master_;
  std::vector<std::vector<std::string>> keys_;
  std::map<std::string, int32_t> question_of_key_;
  Behaviour behaviour_;
  std::mt19937 random_;
  std::vector<Worker> workers_;
  std::map<RecordIndex, int> committed_;
  std::set<int32_t> given_up_;
  std::set<int32_t> leased_;
  std::map<int32_t, int32_t> last_attempt_;
  double now_s_ = 1000;
};

inline std::vector<RecordIndex> records_of(const Unit& unit) {
  std::vector<RecordIndex> list;
  for (const int32_t variant : unit.variants) {
    for (int32_t q = unit.first_question; q < unit.first_question + unit.num_questions; ++q) {
      list.push_back({unit.benchmark, variant, q});
    }
  }
  return list;
}

/// Every record of every unit that was not given up is committed once; without `complete`, at most
/// once.
inline void check_committed(const Plan& plan, const Simulation& simulation, bool complete) {
  for (size_t unit = 0; unit < plan.units.size(); ++unit) {
    const bool given_up = simulation.units_given_up().count(static_cast<int32_t>(unit)) == 1;
    for (const RecordIndex at : records_of(plan.units[unit])) {
      const auto found = simulation.committed().find(at);
      const int times = found == simulation.committed().end() ? 0 : found->second;
      if (given_up) REQUIRE(times == 0);
      if (!given_up && complete) REQUIRE(times == 1);
      REQUIRE(times <= 1);
      const Record* record = simulation.master().records().find(at);
      REQUIRE((record != nullptr) == (times == 1));
      if (record != nullptr) REQUIRE(*record == record_of(plan, at));
    }
  }
  REQUIRE(
      simulation.master().num_units_given_up() ==
      static_cast<int64_t>(simulation.units_given_up().size()));
}

}  // namespace prune_sweep
