/// \file
/// The master's bookkeeping as a state machine: events in, actions out. No MPI, no files, no clock.
///
/// Every unit is open, leased in pieces (usually one), or settled: its records are committed, or
/// its question is in quarantine. A worker starts, serves, and may be drained (its device fails),
/// lost (its rank is silent; it may come back) or gone (it cannot start an evaluator).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/core/record_table.hpp"
#include "prune_sweep/protocol/message.hpp"
#include "prune_sweep/sweep/fault_log.hpp"
#include "prune_sweep/sweep/history.hpp"
#include "prune_sweep/sweep/journal.hpp"
#include "prune_sweep/sweep/rates.hpp"
#include "prune_sweep/sweep/schedule.hpp"
#include "prune_sweep/sweep/suspects.hpp"

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
/// Tell a person.
struct Note {
  std::string text;
};
using Action = std::variant<Send, Commit, Note>;

/// Looks at the baseline's records of a benchmark once all of them are there; a reason ends the
/// run: a baseline that is wrong makes every other figure worthless.
using Gate =
    std::function<std::optional<std::string>(const RecordTable& records, int32_t benchmark)>;

struct MasterSettings {
  int32_t num_workers = 1;     ///< ranks that may serve
  double rank_silence_s = 30;  ///< a rank that says nothing for so long is lost
  double deadline_s = 0;  ///< since 1970-01-01 UTC; nothing is leased that would end later; 0: none
  std::vector<Quarantine> quarantines;  ///< not to be tried again
  Gate gate;                            ///< may be empty
};

class Master {
 public:
  /// `records` are those already committed; the rest of the plan is open.
  Master(const Plan& plan, RecordTable records, MasterSettings settings = {});

  /// A message of worker (rank) `worker`; `now_s` is the time since 1970-01-01 UTC.
  std::vector<Action> on_message(int32_t worker, const Message& message, double now_s);
  /// Time goes by: to be called every second or so. Finds lost ranks and stragglers.
  std::vector<Action> on_tick(double now_s);

  /// No more leases; of what is leased, the questions that are finished at the next batch may still
  /// come in.
  std::vector<Action> drain();

  /// Nothing that is needed is leased, and nothing will be: complete, partial, draining, or without
  /// workers.
  bool is_finished() const;
  bool is_complete() const { return records_.num_records() == plan_->num_records(); }
  bool is_draining() const { return draining_; }
  bool is_past_deadline() const { return past_deadline_; }
  /// Why no work can go on, when rank 0's inputs or all workers are refused; else empty.
  const std::string& fatal_error() const { return fatal_error_; }
  FailureClass fatal_class() const { return fatal_class_; }
  /// What the gate said against the baseline; else empty.
  const std::string& gate_reason() const { return gate_reason_; }
  /// A rank was lost, now or earlier: whoever waits for all ranks may wait for ever.
  bool has_lost_rank() const { return has_lost_rank_; }

  const Plan& plan() const { return *plan_; }
  const RecordTable& records() const { return records_; }
  /// Questions that are not evaluated for some variant.
  int64_t num_quarantined() const;
  double remaining_flops() const { return schedule_.remaining_flops(); }
  /// Variants that became complete since the last call, in the order they did.
  std::vector<int32_t> take_completed_variants();

 private:
  /// A worker's lease, and the number of the piece it is for.
  struct Holding {
    int64_t piece = 0;
    Lease lease;
    double leased_s = 0;
    std::optional<Finished> revoked;
  };
  struct Worker {
    enum class State : uint8_t { kStarting, kServing, kDrained, kLost, kGone };
    State state = State::kStarting;
    std::optional<Holding> holding;
    double last_heard_s = 0;
    FaultLog faults;
  };
  /// A piece that is leased, to one worker or, when the first is slow, to two.
  struct Running {
    Piece piece;
    int32_t num_holders = 0;
  };
  using Actions = std::vector<Action>;

  void on_ready(int32_t worker, const Ready& ready, Actions& actions);
  void on_result(int32_t worker, const Result& result, double now_s, Actions& actions);
  void on_failure(int32_t worker, const Failure& failure, double now_s, Actions& actions);
  void on_heartbeat(int32_t worker, const Heartbeat& heartbeat, Actions& actions);

  bool has_shape(const Holding& holding, const Result& result) const;
  void accept(int32_t worker, const Holding& holding, const Result& result, Actions& actions);
  void accept_part(int32_t worker, const Holding& holding, const Result& result, Actions& actions);
  void compare(int32_t worker, const Lease& lease, const Result& result, Actions& actions);
  Verdict settle_failure(int32_t worker, const Failure& failure, double now_s, Actions& actions);
  void quarantine(int32_t worker, const Piece& piece, const Failure&, double now_s, Actions&);
  void blame_device(int32_t worker, int32_t unit, double now_s, Actions& actions);
  void blame_unit(int32_t unit);
  void end_worker(int32_t worker, Worker::State state, const std::string& why, FailureClass);
  void release(Worker& worker);
  void put_down(int64_t piece);
  void settle_piece(int32_t unit);

  void lease_to_idle(Actions& actions, double now_s);
  std::optional<int64_t> next_piece(int32_t worker, double now_s);
  void copy_stragglers(Actions& actions, double now_s);
  void keep_deadline(double now_s, Actions& actions);
  std::optional<int64_t> straggler(double now_s) const;
  void revoke(int32_t worker, Finished finished, Actions& actions);
  void revoke_settled(Actions& actions);
  void begin_drain(Actions& actions);
  void lease(int32_t worker, int64_t piece, double now_s, Actions& actions);
  Lease make_lease(const Piece& piece);

  bool has_waiting() const { return schedule_.has_open() || !suspects_.is_empty(); }
  std::set<int32_t> serving() const;
  bool is_settled(RecordIndex at) const;
  bool fits(const Piece& piece, double now_s) const;
  double flops_of(const Piece& piece) const;
  std::optional<double> estimate_s(const Piece& piece) const;
  bool holds(int32_t worker, int32_t unit, int32_t attempt) const;
  std::vector<int32_t> missing_questions(const Unit& unit) const;
  std::vector<int32_t> open_units() const;
  const Unit& unit_of(int32_t unit) const { return plan_->units[static_cast<size_t>(unit)]; }
  std::vector<std::string> keys_of(const Unit& unit) const;
  void insert_records(const Lease& lease, const Result& result);
  void ask_gate(int32_t benchmark, Actions& actions);

  const Plan* plan_;
  RecordTable records_;
  MasterSettings settings_;
  std::set<RecordIndex> quarantined_;
  Schedule schedule_;
  Suspects suspects_;
  Rates rates_;
  std::vector<std::vector<std::string>> variant_keys_;
  std::map<int32_t, Worker> workers_;
  std::map<int64_t, Running> running_;
  int64_t next_piece_ = 0;
  std::vector<int32_t> num_attempts_;  // [units]
  std::vector<int32_t> num_pieces_;    // [units], leased or waiting
  std::vector<bool> gated_;            // [benchmarks], the gate was asked
  std::vector<int32_t> completed_;
  int32_t num_crashes_in_a_row_ = 0;
  double last_tick_s_ = 0;
  bool draining_ = false;
  bool past_deadline_ = false;
  bool has_lost_rank_ = false;
  std::string fatal_error_;
  FailureClass fatal_class_ = FailureClass::kInfrastructure;
  std::string gate_reason_;
};

}  // namespace prune_sweep
