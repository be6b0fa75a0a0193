/// \file
/// The master's bookkeeping as a state machine: events in, actions out. No MPI, no files, no clock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/core/record_table.hpp"
#include "prune_sweep/protocol/message.hpp"
#include "prune_sweep/sweep/journal.hpp"
#include "prune_sweep/sweep/schedule.hpp"

namespace prune_sweep {

/// Say something to a worker.
struct Send {
  int32_t worker = 0;
  Message message;
};
/// Put an entry on the disk. What comes after it in the list must wait until it is there.
struct Commit {
  JournalEntry entry;
};
using Action = std::variant<Send, Commit>;

class Master {
 public:
  /// `records` are those already committed; the rest of the plan is open.
  Master(const Plan& plan, RecordTable records);

  /// A message of worker (rank) `worker`; `now_s` is the time since 1970-01-01 UTC.
  std::vector<Action> on_message(int32_t worker, const Message& message, double now_s);

  /// No more leases; what is leased may still come in.
  void drain() { draining_ = true; }

  /// Nothing is leased, and nothing will be: complete, given up, draining, or without workers.
  bool is_finished() const;
  bool is_complete() const { return records_.num_records() == plan_->num_records(); }
  bool is_draining() const { return draining_; }
  /// Why no work can go on, when every worker refused its inputs; else empty.
  const std::string& fatal_error() const { return fatal_error_; }

  const Plan& plan() const { return *plan_; }
  const RecordTable& records() const { return records_; }
  int64_t num_units_given_up() const { return num_given_up_; }
  double remaining_flops() const { return schedule_.remaining_flops(); }
  /// Variants that became complete since the last call, in the order they did.
  std::vector<int32_t> take_completed_variants();

 private:
  struct Worker {
    std::optional<Lease> lease;
    double leased_s = 0;
  };

  std::vector<Action> on_ready(int32_t worker, const Ready& ready);
  std::vector<Action> on_result(int32_t worker, const Result& result, double now_s);
  std::vector<Action> on_failure(int32_t worker, const Failure& failure, double now_s);
  void lease_to_idle(std::vector<Action>& actions, double now_s);
  Lease make_lease(int32_t unit);
  bool holds(int32_t worker, int32_t unit, int32_t attempt) const;
  void insert_records(const Lease& lease, const Result& result);
  size_t benchmark_of(const Lease& lease) const;

  const Plan* plan_;
  RecordTable records_;
  Schedule schedule_;
  std::vector<std::vector<std::string>> variant_keys_;
  std::map<int32_t, Worker> workers_;  // those whose evaluator is ready
  std::vector<int32_t> attempts_;      // [units]
  std::vector<int32_t> failures_;      // [units]
  std::vector<int32_t> completed_;
  int64_t num_given_up_ = 0;
  bool draining_ = false;
  std::string fatal_error_;
};

}  // namespace prune_sweep
