#include "prune_sweep/sweep/master.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

/// When so many evaluators (and a few more for each worker) die with no result in between it is not
/// the questions.
constexpr int32_t kMaxCrashesInARow = 60;

}  // namespace

Master::Master(const Plan& plan, RecordTable records, MasterSettings settings)
    : plan_(&plan),
      records_(std::move(records)),
      settings_(std::move(settings)),
      quarantined_([&] {
        std::set<RecordIndex> places;
        for (const Quarantine& each : settings_.quarantines) {
          for (const int32_t variant : each.variants) {
            places.insert({each.benchmark, variant, each.question});
          }
        }
        return places;
      }()),
      schedule_(plan, open_units()),
      rates_(plan.benchmarks.size()),
      variant_keys_(variant_keys(plan)),
      num_attempts_(plan.units.size(), 0),
      num_pieces_(plan.units.size(), 0),
      gated_(plan.benchmarks.size(), false) {
  for (int32_t worker = 0; worker < settings_.num_workers; ++worker) workers_[worker];
  Actions none;  // nobody holds anything
  for (size_t b = 0; b < plan.benchmarks.size(); ++b) ask_gate(static_cast<int32_t>(b), none);
}

std::vector<Action> Master::drain() {
  Actions actions;
  begin_drain(actions);
  return actions;
}

bool Master::is_finished() const {
  if (!running_.empty()) return false;
  return draining_ || schedule_.is_done() || !fatal_error_.empty();
}

std::vector<int32_t> Master::take_completed_variants() { return std::exchange(completed_, {}); }

int64_t Master::num_quarantined() const {
  std::set<std::pair<int32_t, int32_t>> questions;
  for (const RecordIndex at : quarantined_) questions.insert({at.benchmark, at.question});
  return static_cast<int64_t>(questions.size());
}

void Master::ask_gate(int32_t benchmark, Actions& actions) {
  if (!settings_.gate || gated_[static_cast<size_t>(benchmark)]) return;
  const auto num_questions =
      static_cast<int32_t>(plan_->benchmarks[static_cast<size_t>(benchmark)].questions.size());
  for (int32_t question = 0; question < num_questions; ++question) {
    if (!is_settled({benchmark, 0, question})) return;
  }
  gated_[static_cast<size_t>(benchmark)] = true;
  if (auto reason = settings_.gate(records_, benchmark)) {
    gate_reason_ = std::move(*reason);
    begin_drain(actions);
  }
}

// --- workers ------------------------------------------------------------------------------------

std::set<int32_t> Master::serving() const {
  std::set<int32_t> ranks;
  for (const auto& [rank, worker] : workers_) {
    if (worker.state == Worker::State::kServing) ranks.insert(rank);
  }
  return ranks;
}

std::vector<Action> Master::on_message(int32_t worker, const Message& message, double now_s) {
  Actions actions;
  workers_[worker].last_heard_s = now_s;
  if (const auto* ready = std::get_if<Ready>(&message)) {
    on_ready(worker, *ready, actions);
  } else if (const auto* result = std::get_if<Result>(&message)) {
    on_result(worker, *result, now_s, actions);
  } else if (const auto* failure = std::get_if<Failure>(&message)) {
    on_failure(worker, *failure, now_s, actions);
  } else if (const auto* heartbeat = std::get_if<Heartbeat>(&message)) {
    on_heartbeat(worker, *heartbeat, actions);
  }
  lease_to_idle(actions, now_s);
  return actions;
}

std::vector<Action> Master::on_tick(double now_s) {
  Actions actions;
  // Whoever was asleep himself (a suspended machine, a stopped process, a set clock) has not heard
  // what the others said.
  const double asleep_s = last_tick_s_ > 0 ? now_s - last_tick_s_ : now_s;
  const bool was_asleep = asleep_s > settings_.rank_silence_s / 2;
  last_tick_s_ = now_s;
  for (auto& [rank, worker] : workers_) {
    if (was_asleep) worker.last_heard_s = now_s;
    // Rank 0's worker lives in the master's own process.
    const bool is_there =
        rank != 0 && worker.state != Worker::State::kLost && worker.state != Worker::State::kGone;
    if (is_there && now_s - worker.last_heard_s > settings_.rank_silence_s) {
      const std::string why = "rank " + std::to_string(rank) + " is lost: it says nothing";
      has_lost_rank_ = true;
      actions.push_back(Note{why});
      end_worker(rank, Worker::State::kLost, why, FailureClass::kInfrastructure);
    }
  }
  lease_to_idle(actions, now_s);
  copy_stragglers(actions, now_s);
  keep_deadline(now_s, actions);
  return actions;
}

void Master::on_ready(int32_t worker, const Ready& ready, Actions& actions) {
  // A worker whose evaluator was started anew may hold a lease already: it keeps it.
  Worker& entry = workers_[worker];
  if (entry.state != Worker::State::kDrained) entry.state = Worker::State::kServing;
  actions.push_back(Commit{WorkerEntry{worker, ready.host, ready.device, ready.torch_version}});
}

void Master::on_heartbeat(int32_t worker, const Heartbeat& heartbeat, Actions& actions) {
  Worker& entry = workers_[worker];
  // What it held is with others by now; it serves again as soon as it has put that down.
  if (entry.state == Worker::State::kLost && heartbeat.state == WorkerState::kIdle) {
    entry.state = Worker::State::kServing;
    actions.push_back(Note{"rank " + std::to_string(worker) + " is back"});
  }
}

void Master::release(Worker& worker) {
  if (!worker.holding) return;
  put_down(std::exchange(worker.holding, std::nullopt)->piece);
}

/// One holder less; after the last the piece waits for another.
void Master::put_down(int64_t number) {
  const auto running = running_.find(number);
  if (running == running_.end() || --running->second.num_holders > 0) return;
  Piece piece = std::move(running->second.piece);
  running_.erase(running);
  if (piece.is_cut || piece.num_crashes > 0) {
    suspects_.add(std::move(piece));
  } else {
    schedule_.give_back(piece.unit);
  }
}

void Master::end_worker(
    int32_t worker, Worker::State state, const std::string& why, FailureClass failure) {
  release(workers_[worker]);
  workers_[worker].state = state;
  const auto has = [&](Worker::State wanted) {
    return std::any_of(workers_.begin(), workers_.end(), [&](const auto& entry) {
      return entry.second.state == wanted;
    });
  };
  if (has(Worker::State::kServing) || has(Worker::State::kStarting)) return;
  if (!has(Worker::State::kDrained)) {
    fatal_error_ = why;
    fatal_class_ = failure;
    return;
  }
  // Bad devices are better than none.
  for (auto& [rank, entry] : workers_) {
    if (entry.state != Worker::State::kDrained) continue;
    entry.state = Worker::State::kServing;
    entry.faults.clear();
  }
}

void Master::blame_device(int32_t worker, int32_t unit, double now_s, Actions& actions) {
  Worker& entry = workers_[worker];
  entry.faults.add(unit, now_s);
  const bool has_others = std::any_of(workers_.begin(), workers_.end(), [&](const auto& other) {
    return other.first != worker && other.second.state == Worker::State::kServing;
  });
  if (!entry.faults.is_device_suspect() || !has_others) return;
  entry.state = Worker::State::kDrained;
  actions.push_back(Note{
      "rank " + std::to_string(worker) +
      " gets no more work: its evaluators died over three units within ten minutes"});
}

void Master::blame_unit(int32_t unit) {
  for (auto& [rank, worker] : workers_) worker.faults.forgive(unit);
}

// --- answers ------------------------------------------------------------------------------------

bool Master::holds(int32_t worker, int32_t unit, int32_t attempt) const {
  const auto entry = workers_.find(worker);
  if (entry == workers_.end() || !entry->second.holding) return false;
  const Lease& held = entry->second.holding->lease;
  return held.unit == unit && held.attempt == attempt;
}

void Master::on_result(int32_t worker, const Result& result, double now_s, Actions& actions) {
  // A result of an attempt that is no longer leased here comes too late and is dropped.
  if (!holds(worker, result.unit, result.attempt)) return;
  Worker& entry = workers_.at(worker);
  if (!has_shape(*entry.holding, result)) {
    constexpr auto kClass = FailureClass::kInfrastructure;
    on_failure(
        worker,
        {result.unit, result.attempt, kClass, "wrong number or kind of records"},
        now_s,
        actions);
    return;
  }
  Holding holding = *std::exchange(entry.holding, std::nullopt);
  const size_t num_leased = holding.lease.questions.size();
  const size_t num_finished = result.records.size() / holding.lease.variant_names.size();
  holding.lease.questions.resize(num_finished);
  num_crashes_in_a_row_ = 0;
  if (running_.count(holding.piece) == 0) {
    compare(worker, holding.lease, result, actions);
    return;
  }
  if (num_finished < num_leased) {
    accept_part(worker, holding, result, actions);
    return;
  }
  const Piece& piece = running_.at(holding.piece).piece;
  rates_.add(unit_of(result.unit).benchmark, flops_of(piece), now_s - holding.leased_s);
  accept(worker, holding, result, actions);
  running_.erase(holding.piece);
  settle_piece(result.unit);
  ask_gate(unit_of(result.unit).benchmark, actions);
}

bool Master::has_shape(const Holding& holding, const Result& result) const {
  const Lease& held = holding.lease;
  const Unit& unit = unit_of(result.unit);
  if (result.kind != plan_->benchmarks[static_cast<size_t>(unit.benchmark)].kind) return false;
  const size_t num_variants = held.variant_names.size();
  const size_t num_records = num_variants * held.questions.size();
  if (holding.revoked != Finished::kKeep) return result.records.size() == num_records;
  return !result.records.empty() && result.records.size() % num_variants == 0 &&
         result.records.size() <= num_records;
}

/// The first questions of a piece; the others wait for the next start.
void Master::accept_part(
    int32_t worker, const Holding& holding, const Result& result, Actions& actions) {
  Running& running = running_.at(holding.piece);
  // Another copy may still bring all of it.
  if (running.num_holders == 1) {
    accept(worker, holding, result, actions);
    auto& questions = running.piece.questions;
    questions.erase(questions.begin(), questions.begin() + std::ssize(holding.lease.questions));
  }
  put_down(holding.piece);
}

void Master::accept(
    int32_t worker, const Holding& holding, const Result& result, Actions& actions) {
  const Unit& unit = unit_of(result.unit);
  const BenchmarkPlan& benchmark = plan_->benchmarks[static_cast<size_t>(unit.benchmark)];
  ResultEntry committed{
      result.unit,
      result.attempt,
      worker,
      holding.leased_s,
      result.elapsed_s,
      result.kind,
      keys_of(unit),
      {},
      result.records,
      result.phases_s};
  for (const int32_t question : holding.lease.questions) {
    committed.question_keys.push_back(
        question_key(benchmark, benchmark.questions[static_cast<size_t>(question)]));
  }
  insert_records(holding.lease, result);
  actions.push_back(Commit{std::move(committed)});
  actions.push_back(Send{worker, Committed{result.unit}});
}

void Master::insert_records(const Lease& lease, const Result& result) {
  const Unit& unit = unit_of(lease.unit);
  for (size_t v = 0; v < unit.variants.size(); ++v) {
    const int32_t variant = unit.variants[v];
    const bool was_complete = records_.is_complete(variant);
    for (size_t q = 0; q < lease.questions.size(); ++q) {
      const RecordIndex at{unit.benchmark, variant, lease.questions[q]};
      records_.insert(at, result.records[v * lease.questions.size() + q]);
      quarantined_.erase(at);
    }
    if (!was_complete && records_.is_complete(variant)) completed_.push_back(variant);
  }
}

void Master::compare(int32_t worker, const Lease& lease, const Result& result, Actions& actions) {
  const Unit& unit = unit_of(lease.unit);
  DuplicateEntry duplicate{result.unit, result.attempt, worker};
  for (size_t v = 0; v < unit.variants.size(); ++v) {
    for (size_t q = 0; q < lease.questions.size(); ++q) {
      const auto outcome = records_.insert(
          {unit.benchmark, unit.variants[v], lease.questions[q]},
          result.records[v * lease.questions.size() + q]);
      duplicate.num_same += outcome == RecordTable::Insert::kSame ? 1 : 0;
      duplicate.num_different += outcome == RecordTable::Insert::kDifferent ? 1 : 0;
    }
  }
  actions.push_back(Commit{duplicate});
}

void Master::settle_piece(int32_t unit) {
  if (--num_pieces_[static_cast<size_t>(unit)] == 0) schedule_.complete(unit);
}

void Master::on_failure(int32_t worker, const Failure& failure, double now_s, Actions& actions) {
  if (failure.unit < 0) {
    if (failure.failure == FailureClass::kInput && worker == 0) {
      fatal_error_ = failure.text;
      fatal_class_ = failure.failure;
    }
    end_worker(worker, Worker::State::kGone, failure.text, failure.failure);
    return;
  }
  if (!holds(worker, failure.unit, failure.attempt)) return;
  Worker& entry = workers_.at(worker);
  if (failure.failure == FailureClass::kRevoked) {
    release(entry);
    return;
  }
  const double leased_s = entry.holding->leased_s;
  Actions consequences;
  const Verdict verdict = settle_failure(worker, failure, now_s, consequences);
  actions.push_back(Commit{FailureEntry{
      failure.unit,
      failure.attempt,
      worker,
      leased_s,
      now_s - leased_s,
      verdict == Verdict::kQuarantine,
      failure.text}});
  std::move(consequences.begin(), consequences.end(), std::back_inserter(actions));
  if (verdict == Verdict::kQuarantine) ask_gate(unit_of(failure.unit).benchmark, actions);
}

Verdict Master::settle_failure(
    int32_t worker, const Failure& failure, double now_s, Actions& actions) {
  Worker& entry = workers_.at(worker);
  const int64_t number = entry.holding->piece;
  entry.holding.reset();
  const auto running = running_.find(number);
  const bool is_crash = failure.failure == FailureClass::kInfrastructure;
  if (is_crash &&
      ++num_crashes_in_a_row_ >= kMaxCrashesInARow + 3 * static_cast<int32_t>(workers_.size())) {
    fatal_error_ = "evaluators die one after the other, the last one so: " + failure.text;
    fatal_class_ = failure.failure;
  }
  // The other copy has come through already.
  if (running == running_.end()) return Verdict::kRetry;
  if (is_crash) count_crash(running->second.piece, worker);
  if (is_crash && !running->second.piece.is_cut) blame_device(worker, failure.unit, now_s, actions);
  if (--running->second.num_holders > 0) return Verdict::kRetry;

  Piece piece = std::move(running->second.piece);
  running_.erase(running);
  const Verdict verdict = judge(piece, failure.failure);
  if (verdict != Verdict::kRetry) blame_unit(failure.unit);
  switch (verdict) {
    case Verdict::kRetry:
      suspects_.add(std::move(piece));
      break;
    case Verdict::kHalve: {
      auto [first, second] = halve(piece);
      suspects_.add(std::move(first));
      suspects_.add(std::move(second));
      ++num_pieces_[static_cast<size_t>(failure.unit)];
      break;
    }
    case Verdict::kQuarantine:
      quarantine(worker, piece, failure, now_s, actions);
      settle_piece(failure.unit);
  }
  return verdict;
}

void Master::quarantine(
    int32_t worker, const Piece& piece, const Failure& failure, double now_s, Actions& actions) {
  const Unit& unit = unit_of(piece.unit);
  const BenchmarkPlan& benchmark = plan_->benchmarks[static_cast<size_t>(unit.benchmark)];
  for (const int32_t question : piece.questions) {
    for (const int32_t variant : unit.variants) {
      const RecordIndex at{unit.benchmark, variant, question};
      if (records_.find(at) == nullptr) quarantined_.insert(at);
    }
    const QuestionInfo& info = benchmark.questions[static_cast<size_t>(question)];
    actions.push_back(Commit{QuarantineEntry{
        piece.unit, worker, now_s, keys_of(unit), question_key(benchmark, info), failure.text}});
    actions.push_back(Note{
        benchmark.name + " question " + std::to_string(question) +
        " is not evaluated for variants " +
        plan_->variants[static_cast<size_t>(unit.variants.front())].name + " to " +
        plan_->variants[static_cast<size_t>(unit.variants.back())].name + ": " + failure.text});
  }
}

}  // namespace prune_sweep
