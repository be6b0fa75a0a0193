/// \file
/// The part of a rank that serves leases: keeps an evaluator alive and passes messages on.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "prune_sweep/sweep/child_process.hpp"

namespace prune_sweep {

class Worker {
 public:
  /// `to_master` takes what the evaluator, or this worker in its place, has to say.
  explicit Worker(std::function<void(const Message&)> to_master);

  /// A message of the master.
  void on_message(const Message& message);
  /// Reads the evaluator's messages, notices its death or silence. Returns whether anything
  /// happened.
  bool poll();

  int fd() const { return evaluator_.channel.fd(); }
  bool is_stopped() const { return stopped_; }

 private:
  void evaluator_lost(const std::string& reason);
  void send_to_evaluator(const Message& message);
  bool is_silent() const;

  std::function<void(const Message&)> to_master_;
  EvaluatorProcess evaluator_;
  std::optional<Setup> setup_;
  std::optional<Lease> lease_;
  bool ready_ = false;
  bool stopped_ = false;
  int num_failed_starts_ = 0;
  double last_heard_s_ = 0;
};

}  // namespace prune_sweep
