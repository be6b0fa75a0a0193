/// \file
/// A master and fake workers, to be run with faults of every kind.
#pragma once

#include <algorithm>
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
      {choice_benchmark("mmlu", {7, 3, 1}, 100, 2600), generation_benchmark("gsm8k", 5, 3000, 20)});
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

/// What goes wrong in a simulation. The numbers are percent of the occasions.
struct Behaviour {
  unsigned dies = 0;         ///< an evaluator at work; at most two over one unit: that is chance
  unsigned repeats = 0;      ///< a worker sends a result once more, later
  unsigned reorders = 0;     ///< a message overtakes those before it
  unsigned restarts = 0;     ///< says that it is ready while it holds a lease
  unsigned gives_up = 0;     ///< a worker other than 0 cannot start evaluators any more
  unsigned wrong_count = 0;  ///< a result with a record too few; counts as a death
  unsigned rank_dies = 0;    ///< a rank other than 0, in the middle of what it says
  unsigned rank_sleeps = 0;  ///< a rank other than 0 is stopped for minutes and goes on
  unsigned is_slow = 0;      ///< a lease takes minutes
  int num_poisoned = 0;      ///< questions that kill every evaluator
  int num_failing = 0;       ///< questions that give an error of the task
};

/// A master and its workers on a simulated clock, exchanging messages with arbitrary delays; every
/// rule of the exchange is checked.
class Simulation {
 public:
  Simulation(
      const Plan& plan,
      RecordTable records,
      int32_t num_workers,
      Behaviour behaviour,
      uint32_t seed)
      : plan_(plan),
        master_(plan, std::move(records), {.num_workers = num_workers, .rank_silence_s = 30}),
        keys_(variant_keys(plan)),
        behaviour_(behaviour),
        random_(seed),
        workers_(static_cast<size_t>(num_workers)) {
    for (size_t b = 0; b < plan.benchmarks.size(); ++b) {
      const BenchmarkPlan& benchmark = plan.benchmarks[b];
      for (size_t q = 0; q < benchmark.questions.size(); ++q) {
        question_of_key_[question_key(benchmark, benchmark.questions[q])] = {
            static_cast<int32_t>(b), static_cast<int32_t>(q)};
      }
    }
    for (int i = 0; i < behaviour.num_poisoned; ++i) poisoned_.insert(random_question());
    for (int i = 0; i < behaviour.num_failing; ++i) failing_.insert(random_question());
    for (Worker& worker : workers_) worker.to_master.push_back(kReady);
  }

  using QuestionIndex = std::pair<int32_t, int32_t>;  // (benchmark, question)

  /// Goes on until the master is finished; after `drain_after` steps it is told to drain.
  void run(int drain_after = -1) {
    for (int step = 0; !master_.is_finished(); ++step) {
      REQUIRE(step < 100'000);  // it always ends
      if (step == drain_after) take(-1, nullptr, master_.drain());
      if (master_.is_finished()) break;
      now_s_ += static_cast<double>(random_() % 100) / 400;
      if (now_s_ - last_tick_s_ >= 1) {
        last_tick_s_ = now_s_;
        take(-1, nullptr, master_.on_tick(now_s_));
      }
      move(static_cast<int32_t>(random_() % workers_.size()));
    }
  }

  const Master& master() const { return master_; }
  Master& master() { return master_; }
  const std::map<RecordIndex, int>& committed() const { return committed_; }
  const std::set<RecordIndex>& quarantined() const { return quarantined_; }
  const std::set<int32_t>& units_leased() const { return leased_; }
  bool is_bad(QuestionIndex question) const {
    return poisoned_.count(question) + failing_.count(question) > 0;
  }
  int num_copies() const { return num_copies_; }
  int64_t num_compared() const { return num_compared_; }
  int num_partial() const { return num_partial_; }

 private:
  struct Worker {
    std::deque<Message> to_master;
    std::deque<Message> to_worker;
    std::deque<Lease> leases;                // what the evaluator has to work on, in turn
    std::optional<Lease> master_sees_lease;  // what the master thinks it holds
    std::vector<Result> old_results;
    double asleep_until_s = 0;
    double busy_until_s = 0;
    double beaten_s = 0;
    bool cannot_start = false;
    bool is_dead = false;
  };

  bool happens(unsigned percent) { return random_() % 100 < percent; }

  QuestionIndex random_question() {
    const auto benchmark = static_cast<int32_t>(random_() % plan_.benchmarks.size());
    const auto& questions = plan_.benchmarks[static_cast<size_t>(benchmark)].questions;
    return {benchmark, static_cast<int32_t>(random_() % questions.size())};
  }

  /// One thing happens to a worker: the master hears it, it hears the master, or it goes on with
  /// its work.
  void move(int32_t index) {
    Worker& worker = workers_[static_cast<size_t>(index)];
    if (worker.is_dead || now_s_ < worker.asleep_until_s) return;
    const bool may_vanish = index != 0 && random_() % 20 == 0;
    if (may_vanish && happens(behaviour_.rank_dies)) {
      worker.is_dead = true;
      worker.to_master.clear();  // what was on its way is lost with it
      return;
    }
    if (may_vanish && happens(behaviour_.rank_sleeps)) {
      worker.asleep_until_s = now_s_ + 20 + random_() % 100;
      return;
    }
    if (now_s_ - worker.beaten_s > 2 && worker.to_master.empty()) {
      worker.beaten_s = now_s_;
      const bool is_idle = worker.leases.empty() && !worker.cannot_start;
      worker.to_master.push_back(Heartbeat{
          worker.cannot_start ? WorkerState::kStarting
          : is_idle           ? WorkerState::kIdle
                              : WorkerState::kAtWork});
    }
    switch (random_() % 3) {
      case 0:
        if (!worker.to_master.empty()) deliver(index, next_from(worker.to_master));
        break;
      case 1:
        if (!worker.to_worker.empty()) {
          const Message message = worker.to_worker.front();
          worker.to_worker.pop_front();
          hear(worker, message);
        }
        break;
      default:
        if (!worker.leases.empty() && now_s_ >= worker.busy_until_s) work(index, worker);
    }
  }

  Message next_from(std::deque<Message>& queue) {
    const size_t chosen = happens(behaviour_.reorders) ? random_() % queue.size() : 0;
    Message message = queue[chosen];
    queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(chosen));
    return message;
  }

  void hear(Worker& worker, const Message& message) {
    if (worker.cannot_start) return;
    if (const auto* lease = std::get_if<Lease>(&message)) {
      worker.leases.push_back(*lease);
      if (happens(behaviour_.is_slow)) worker.busy_until_s = now_s_ + 60 + random_() % 60;
    } else if (const auto* revoke = std::get_if<Revoke>(&message)) {
      const auto found =
          std::find_if(worker.leases.begin(), worker.leases.end(), [&](const Lease& held) {
            return held.unit == revoke->unit && held.attempt == revoke->attempt;
          });
      if (found == worker.leases.end()) return;
      give_up_lease(worker, *found, revoke->finished);
      worker.leases.erase(found);
      worker.busy_until_s = 0;
    }
  }

  /// What is finished of a revoked lease is what comes before its first bad question, at most.
  void give_up_lease(Worker& worker, Lease lease, Finished finished) {
    lease.questions.resize(finished == Finished::kKeep ? random_() % lease.questions.size() : 0);
    while (has_any(lease, poisoned_) || has_any(lease, failing_)) lease.questions.pop_back();
    if (lease.questions.empty()) {
      worker.to_master.push_back(failure_of(lease, FailureClass::kRevoked, "revoked"));
      return;
    }
    ++num_partial_;
    worker.to_master.push_back(result_of(plan_, lease));
  }

  bool has_any(const Lease& lease, const std::set<QuestionIndex>& questions) const {
    const int32_t benchmark = plan_.units[static_cast<size_t>(lease.unit)].benchmark;
    return std::any_of(lease.questions.begin(), lease.questions.end(), [&](int32_t question) {
      return questions.count({benchmark, question}) > 0;
    });
  }

  /// The evaluator dies over what it has; what it has not begun is for the next one.
  void die(Worker& worker) {
    worker.to_master.push_back(failure_of(worker.leases.front(), FailureClass::kInfrastructure));
    worker.leases.pop_front();
    worker.to_master.push_back(kReady);
  }

  bool may_die_by_chance(const Lease& lease) { return ++num_deaths_[lease.unit] <= 2; }

  void work(int32_t index, Worker& worker) {
    const Lease lease = worker.leases.front();
    if (has_any(lease, poisoned_)) {
      die(worker);
    } else if (index != 0 && happens(behaviour_.gives_up)) {
      worker.to_master.push_back(Failure{-1, 0, FailureClass::kInfrastructure, "cannot start"});
      worker.leases.clear();
      worker.cannot_start = true;
    } else if (happens(behaviour_.dies) && may_die_by_chance(lease)) {
      die(worker);
    } else if (has_any(lease, failing_)) {
      worker.leases.pop_front();
      worker.to_master.push_back(failure_of(lease, FailureClass::kTask, "not a number"));
    } else if (happens(behaviour_.restarts)) {
      worker.to_master.push_back(kReady);
    } else if (happens(behaviour_.repeats) && !worker.old_results.empty()) {
      worker.to_master.push_back(worker.old_results[random_() % worker.old_results.size()]);
    } else if (happens(behaviour_.wrong_count) && may_die_by_chance(lease)) {
      worker.leases.pop_front();
      Result result = result_of(plan_, lease);
      result.records.pop_back();
      worker.to_master.push_back(std::move(result));
    } else if (happens(30)) {
      worker.to_master.push_back(Progress{lease.unit, lease.attempt});
    } else {
      worker.leases.pop_front();
      worker.old_results.push_back(result_of(plan_, lease));
      worker.to_master.push_back(worker.old_results.back());
    }
  }

  void deliver(int32_t index, const Message& message) {
    Worker& worker = workers_[static_cast<size_t>(index)];
    const std::optional<Lease> held = worker.master_sees_lease;
    const auto is_held = [&](int32_t unit, int32_t attempt) {
      return held && held->unit == unit && held->attempt == attempt;
    };
    if (const auto* result = std::get_if<Result>(&message)) {
      if (is_held(result->unit, result->attempt)) worker.master_sees_lease.reset();
    } else if (const auto* failure = std::get_if<Failure>(&message)) {
      if (failure->unit < 0 || is_held(failure->unit, failure->attempt)) {
        worker.master_sees_lease.reset();
      }
    }
    const bool is_answer = held.has_value() && !worker.master_sees_lease.has_value();
    take(index, is_answer ? &*held : nullptr, master_.on_message(index, message, now_s_));
  }

  /// Checks and carries out what the master does at a message of worker `from` that answers
  /// `answered`, if that is not null.
  void take(int32_t from, const Lease* answered, const std::vector<Action>& actions) {
    std::set<int32_t> units_committed;
    for (const Action& action : actions) {
      if (const auto* commit = std::get_if<Commit>(&action)) {
        check_commit(from, answered, commit->entry);
        if (const auto* result = std::get_if<ResultEntry>(&commit->entry)) {
          units_committed.insert(result->unit);
        }
      } else if (const auto* send = std::get_if<Send>(&action)) {
        check_send(*send, from, units_committed);
      } else {
        lose_if_said(std::get<Note>(action).text);
      }
    }
  }

  /// What a lost rank held is given to others.
  void lose_if_said(const std::string& text) {
    if (text.find("is lost") == std::string::npos) return;
    workers_.at(static_cast<size_t>(std::stoi(text.substr(5)))).master_sees_lease.reset();
  }

  void check_commit(int32_t from, const Lease* answered, const JournalEntry& entry) {
    if (const auto* worker = std::get_if<WorkerEntry>(&entry)) {
      REQUIRE(worker->rank == from);
      return;
    }
    // Nothing of an answer to a lease that the worker no longer holds.
    REQUIRE(answered != nullptr);
    if (const auto* failure = std::get_if<FailureEntry>(&entry)) {
      REQUIRE(failure->rank == from);
      REQUIRE(failure->elapsed_s >= 0);
    } else if (const auto* quarantine = std::get_if<QuarantineEntry>(&entry)) {
      check_quarantine(*answered, *quarantine);
    } else if (const auto* duplicate = std::get_if<DuplicateEntry>(&entry)) {
      REQUIRE(duplicate->num_different == 0);
      num_compared_ += duplicate->num_same;
    } else {
      check_result(from, std::get<ResultEntry>(entry));
    }
  }

  void check_quarantine(const Lease& answered, const QuarantineEntry& entry) {
    const QuestionIndex question = question_of_key_.at(entry.question_key);
    REQUIRE(is_bad(question));  // only what is poisoned
    REQUIRE(answered.questions == std::vector<int32_t>{question.second});
    const Unit& unit = plan_.units.at(static_cast<size_t>(entry.unit));
    REQUIRE(entry.variant_keys.size() == unit.variants.size());
    for (const int32_t variant : unit.variants) {
      REQUIRE(quarantined_.insert({question.first, variant, question.second}).second);
    }
  }

  void check_result(int32_t from, const ResultEntry& result) {
    REQUIRE(result.rank == from);
    const Unit& unit = plan_.units.at(static_cast<size_t>(result.unit));
    REQUIRE(result.variant_keys.size() == unit.variants.size());
    REQUIRE(result.records.size() == result.variant_keys.size() * result.question_keys.size());
    for (size_t v = 0; v < unit.variants.size(); ++v) {
      const int32_t variant = unit.variants[v];
      REQUIRE(
          result.variant_keys[v] ==
          keys_[static_cast<size_t>(variant)][static_cast<size_t>(unit.benchmark)]);
      for (size_t q = 0; q < result.question_keys.size(); ++q) {
        const auto [benchmark, question] = question_of_key_.at(result.question_keys[q]);
        const RecordIndex at{unit.benchmark, variant, question};
        REQUIRE(benchmark == unit.benchmark);
        REQUIRE(result.records[v * result.question_keys.size() + q] == record_of(plan_, at));
        REQUIRE(++committed_[at] == 1);  // exactly once
      }
    }
  }

  void check_send(const Send& send, int32_t from, const std::set<int32_t>& units_committed) {
    Worker& worker = workers_.at(static_cast<size_t>(send.worker));
    if (const auto* committed = std::get_if<Committed>(&send.message)) {
      REQUIRE(send.worker == from);
      REQUIRE(units_committed.count(committed->unit) == 1);
    } else if (const auto* revoke = std::get_if<Revoke>(&send.message)) {
      REQUIRE(worker.master_sees_lease.has_value());
      REQUIRE(worker.master_sees_lease->attempt == revoke->attempt);
    } else {
      check_lease(worker, std::get<Lease>(send.message));
    }
    worker.to_worker.push_back(send.message);
  }

  void check_lease(Worker& worker, const Lease& lease) {
    const int32_t benchmark = plan_.units[static_cast<size_t>(lease.unit)].benchmark;
    REQUIRE_FALSE(master_.is_draining());
    REQUIRE_FALSE(worker.master_sees_lease.has_value());
    REQUIRE_FALSE(lease.questions.empty());
    const auto same = std::count_if(workers_.begin(), workers_.end(), [&](const Worker& other) {
      return other.master_sees_lease && other.master_sees_lease->unit == lease.unit &&
             other.master_sees_lease->questions == lease.questions;
    });
    REQUIRE(same <= 1);  // a straggler's copy
    num_copies_ += static_cast<int>(same);
    for (const int32_t question : lease.questions) {
      const int32_t variant = plan_.units[static_cast<size_t>(lease.unit)].variants.front();
      REQUIRE(quarantined_.count({benchmark, variant, question}) == 0);
    }
    // Attempts of a unit are numbered upwards: that is what fences late results.
    REQUIRE(lease.attempt > last_attempt_[lease.unit]);
    last_attempt_[lease.unit] = lease.attempt;
    leased_.insert(lease.unit);
    worker.master_sees_lease = lease;
  }

  const Plan& plan_;
  Master master_;
  std::vector<std::vector<std::string>> keys_;
  std::map<std::string, QuestionIndex> question_of_key_;
  Behaviour behaviour_;
  std::mt19937 random_;
  std::vector<Worker> workers_;
  std::set<QuestionIndex> poisoned_;
  std::set<QuestionIndex> failing_;
  std::map<RecordIndex, int> committed_;
  std::set<RecordIndex> quarantined_;
  std::set<int32_t> leased_;
  std::map<int32_t, int32_t> last_attempt_;
  std::map<int32_t, int> num_deaths_;
  int num_copies_ = 0;
  int64_t num_compared_ = 0;
  int num_partial_ = 0;
  double now_s_ = 1000;
  double last_tick_s_ = 0;
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

/// Every record is committed once or its question is in quarantine; without `complete`, it may also
/// be missing.
inline void check_committed(const Plan& plan, const Simulation& simulation, bool complete) {
  for (const Unit& unit : plan.units) {
    for (const RecordIndex at : records_of(unit)) {
      const auto found = simulation.committed().find(at);
      const int times = found == simulation.committed().end() ? 0 : found->second;
      const bool is_bad = simulation.is_bad({at.benchmark, at.question});
      REQUIRE(times <= (is_bad ? 0 : 1));
      if (complete) REQUIRE(times == (is_bad ? 0 : 1));
      if (complete) REQUIRE(simulation.quarantined().count(at) == (is_bad ? 1 : 0));
      const Record* record = simulation.master().records().find(at);
      REQUIRE((record != nullptr) == (times == 1));
      if (record != nullptr) REQUIRE(*record == record_of(plan, at));
    }
  }
}

}  // namespace prune_sweep
