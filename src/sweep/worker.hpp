/// \file
/// The part of a rank that serves leases: keeps an evaluator alive and passes messages on.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "prune_sweep/sweep/child_process.hpp"
#include "prune_sweep/sweep/place.hpp"

namespace prune_sweep {

class Worker {
 public:
  /// `to_master` takes what the evaluator, or this worker in its place, has to say. The evaluator,
  /// and every one that takes its place, gets the threads and the device of `place`.
  Worker(
      const Place& place,
      EvaluatorProcess evaluator,
      std::function<void(const Message&)> to_master);

  /// A message of the master.
  void on_message(const Message& message);
  /// Reads the evaluator's messages, notices its death or silence, tells the master that this rank
  /// lives. Returns whether anything happened.
  bool poll();

  /// Of the evaluator's socket; -1 when there is no evaluator.
  int fd() const { return evaluator_ ? evaluator_->channel.fd() : -1; }
  bool is_stopped() const { return stop_.has_value(); }
  /// How the master said to leave.
  Leave leave() const { return stop_ ? stop_->leave : Leave::kAlone; }
  /// The master has said nothing for so long that it must be gone.
  bool is_abandoned() const;

 private:
  bool poll_evaluator();
  void on_evaluator_message(const Message& message);
  void on_lease(const Lease& lease);
  void on_revoke(const Revoke& revoke);
  /// The evaluator has answered a lease: the next one, if there is one, begins.
  void on_answer(int32_t unit, int32_t attempt);
  void evaluator_lost(const std::string& reason);
  void on_refuse(const Refuse& refuse);
  void give_up(const Failure& failure);
  void send_to_evaluator(const Message& message);
  bool is_silent() const;
  void beat();

  Place place_;
  std::function<void(const Message&)> to_master_;
  std::optional<EvaluatorProcess> evaluator_;
  std::optional<Setup> setup_;
  /// The first is with the evaluator. There is a second only after this rank was lost and came back
  /// before it had read what was sent to it: one at a time, so that a death is over that one.
  std::deque<Lease> leases_;
  std::optional<Stop> stop_;
  bool ready_ = false;
  bool refused_ = false;
  int num_failed_starts_ = 0;
  double evaluator_heard_s_ = 0;
  double master_heard_s_ = 0;
  double last_beat_s_ = 0;
  double last_poll_s_ = 0;
};

}  // namespace prune_sweep
