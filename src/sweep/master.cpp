#include "prune_sweep/sweep/master.hpp"

#include <algorithm>
#include <utility>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

/// An infrastructure failure is tried again this often before the unit is given up.
constexpr int32_t kMaxFailures = 3;

std::vector<int32_t> missing_questions(const RecordTable& records, const Unit& unit) {
  std::vector<int32_t> missing;
  for (int32_t q = unit.first_question; q < unit.first_question + unit.num_questions; ++q) {
    const bool all = std::all_of(unit.variants.begin(), unit.variants.end(), [&](int32_t variant) {
      return records.find({unit.benchmark, variant, q}) != nullptr;
    });
    if (!all) missing.push_back(q);
  }
  return missing;
}

std::vector<int32_t> open_units(const Plan& plan, const RecordTable& records) {
  std::vector<int32_t> open;
  for (size_t unit = 0; unit < plan.units.size(); ++unit) {
    if (!missing_questions(records, plan.units[unit]).empty()) {
      open.push_back(static_cast<int32_t>(unit));
    }
  }
  return open;
}

}  // namespace

Master::Master(const Plan& plan, RecordTable records)
    : plan_(&plan),
      records_(std::move(records)),
      schedule_(plan, open_units(plan, records_)),
      variant_keys_(variant_keys(plan)),
      attempts_(plan.units.size(), 0),
      failures_(plan.units.size(), 0) {}

bool Master::is_finished() const {
  const bool leased = std::any_of(workers_.begin(), workers_.end(), [](const auto& entry) {
    return entry.second.lease.has_value();
  });
  if (leased) return false;
  return draining_ || schedule_.is_done() || !fatal_error_.empty();
}

std::vector<int32_t> Master::take_completed_variants() { return std::exchange(completed_, {}); }

std::vector<Action> Master::on_message(int32_t worker, const Message& message, double now_s) {
  std::vector<Action> actions;
  if (const auto* ready = std::get_if<Ready>(&message)) {
    actions = on_ready(worker, *ready);
  } else if (const auto* result = std::get_if<Result>(&message)) {
    actions = on_result(worker, *result, now_s);
  } else if (const auto* failure = std::get_if<Failure>(&message)) {
    actions = on_failure(worker, *failure, now_s);
  }
  lease_to_idle(actions, now_s);
  return actions;
}

std::vector<Action> Master::on_ready(int32_t worker, const Ready& ready) {
  // A worker whose evaluator was started anew may hold a lease already: it keeps it.
  workers_.try_emplace(worker);
  return {Commit{WorkerEntry{worker, ready.host, ready.device, ready.torch_version}}};
}

bool Master::holds(int32_t worker, int32_t unit, int32_t attempt) const {
  const auto entry = workers_.find(worker);
  return entry != workers_.end() && entry->second.lease && entry->second.lease->unit == unit &&
         entry->second.lease->attempt == attempt;
}

size_t Master::benchmark_of(const Lease& lease) const {
  return static_cast<size_t>(plan_->units[static_cast<size_t>(lease.unit)].benchmark);
}

void Master::insert_records(const Lease& lease, const Result& result) {
  const Unit& unit = plan_->units[static_cast<size_t>(lease.unit)];
  for (size_t v = 0; v < unit.variants.size(); ++v) {
    const int32_t variant = unit.variants[v];
    const bool was_complete = records_.is_complete(variant);
    for (size_t q = 0; q < lease.questions.size(); ++q) {
      records_.insert(
          {unit.benchmark, variant, lease.questions[q]},
          result.records[v * lease.questions.size() + q]);
    }
    if (!was_complete && records_.is_complete(variant)) completed_.push_back(variant);
  }
}

std::vector<Action> Master::on_result(int32_t worker, const Result& result, double now_s) {
  // A result of an attempt that is no longer leased here comes too late and is dropped.
  if (!holds(worker, result.unit, result.attempt)) return {};
  Worker& entry = workers_.at(worker);
  const Lease& lease = *entry.lease;
  const size_t benchmark = benchmark_of(lease);
  const BenchmarkPlan& questions = plan_->benchmarks[benchmark];
  if (result.kind != questions.kind ||
      result.records.size() != lease.variant_names.size() * lease.questions.size()) {
    return on_failure(
        worker,
        {result.unit,
         result.attempt,
         FailureClass::kInfrastructure,
         "wrong number or kind of records"},
        now_s);
  }
  ResultEntry committed{
      result.unit,
      result.attempt,
      worker,
      entry.leased_s,
      result.elapsed_s,
      result.kind,
      {},
      {},
      result.records};
  for (const int32_t variant : plan_->units[static_cast<size_t>(lease.unit)].variants) {
    committed.variant_keys.push_back(variant_keys_[static_cast<size_t>(variant)][benchmark]);
  }
  for (const int32_t question : lease.questions) {
    committed.question_keys.push_back(
        question_key(questions, questions.questions[static_cast<size_t>(question)]));
  }
  insert_records(lease, result);
  entry.lease.reset();
  schedule_.complete(result.unit);
  return {Commit{std::move(committed)}, Send{worker, Committed{result.unit}}};
}

std::vector<Action> Master::on_failure(int32_t worker, const Failure& failure, double now_s) {
  if (failure.unit < 0) {
    // The worker cannot start. Others may, and get what it held; when rank 0's own host refuses
    // nobody will.
    const auto gone = workers_.find(worker);
    if (gone != workers_.end()) {
      if (gone->second.lease) schedule_.give_back(gone->second.lease->unit);
      workers_.erase(gone);
    }
    if (failure.failure == FailureClass::kInput || worker == 0) fatal_error_ = failure.text;
    return {};
  }
  if (!holds(worker, failure.unit, failure.attempt)) return {};
  Worker& entry = workers_.at(worker);
  const auto unit = static_cast<size_t>(failure.unit);
  entry.lease.reset();
  ++failures_[unit];
  const bool give_up =
      failure.failure != FailureClass::kInfrastructure || failures_[unit] >= kMaxFailures;
  if (give_up) {
    ++num_given_up_;
    schedule_.complete(failure.unit);
  } else {
    schedule_.give_back(failure.unit);
  }
  return {Commit{FailureEntry{
      failure.unit,
      failure.attempt,
      worker,
      entry.leased_s,
      now_s - entry.leased_s,
      give_up,
      failure.text}}};
}

Lease Master::make_lease(int32_t unit) {
  const Unit& work = plan_->units[static_cast<size_t>(unit)];
  Lease lease{
      unit,
      ++attempts_[static_cast<size_t>(unit)],
      plan_->benchmarks[static_cast<size_t>(work.benchmark)].name,
      {},
      {},
      missing_questions(records_, work)};
  for (const int32_t index : work.variants) {
    const Variant& variant = plan_->variants[static_cast<size_t>(index)];
    lease.variant_names.push_back(variant.name);
    lease.variant_edits.push_back(edits_text(variant.edits));
  }
  return lease;
}

void Master::lease_to_idle(std::vector<Action>& actions, double now_s) {
  if (draining_ || !fatal_error_.empty()) return;
  for (auto& [worker, entry] : workers_) {
    if (entry.lease) continue;
    const auto unit = schedule_.next(worker);
    if (!unit) return;
    entry.lease = make_lease(*unit);
    entry.leased_s = now_s;
    actions.push_back(Send{worker, *entry.lease});
  }
}

}  // namespace prune_sweep
