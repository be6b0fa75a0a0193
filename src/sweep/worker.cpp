#include "worker.hpp"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

/// An evaluator at work that says nothing for this long hangs.
constexpr double kMaxSilence_s = 600;
/// Evaluators that die before they are ready are not started for ever.
constexpr int kMaxFailedStarts = 3;

double monotonic_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Worker::Worker(std::function<void(const Message&)> to_master)
    : to_master_(std::move(to_master)),
      evaluator_(start_evaluator()),
      last_heard_s_(monotonic_s()) {}

void Worker::send_to_evaluator(const Message& message) {
  try {
    evaluator_.channel.send(message);
  } catch (const Error& error) {
    // Its death is seen, and answered, by the next poll.
    spdlog::warn("evaluator does not take {}: {}", message_name(message), error.what());
    evaluator_.process.kill();
  }
}

void Worker::on_message(const Message& message) {
  if (const auto* setup = std::get_if<Setup>(&message)) {
    setup_ = *setup;
    last_heard_s_ = monotonic_s();
    send_to_evaluator(message);
  } else if (const auto* lease = std::get_if<Lease>(&message)) {
    lease_ = *lease;
    last_heard_s_ = monotonic_s();
    send_to_evaluator(message);
  } else if (std::holds_alternative<Stop>(message)) {
    stopped_ = true;
  }
}

bool Worker::is_silent() const {
  const bool is_at_work = lease_ || (setup_ && !ready_);
  return is_at_work && monotonic_s() - last_heard_s_ > kMaxSilence_s;
}

bool Worker::poll() {
  bool heard = false;
  try {
    while (auto message = evaluator_.channel.poll()) {
      heard = true;
      last_heard_s_ = monotonic_s();
      if (std::holds_alternative<Ready>(*message)) {
        ready_ = true;
        num_failed_starts_ = 0;
      } else if (!std::holds_alternative<Progress>(*message)) {
        lease_.reset();
      }
      to_master_(*message);
    }
  } catch (const Error& error) {
    evaluator_.process.kill();
    evaluator_lost(error.what());
    return true;
  }
  if (is_silent()) {
    evaluator_.process.kill();
    evaluator_lost("the evaluator said nothing for ten minutes");
    return true;
  }
  if (const auto how = evaluator_.process.ended()) {
    evaluator_lost("the evaluator ended with " + *how);
    return true;
  }
  return heard;
}

void Worker::evaluator_lost(const std::string& reason) {
  spdlog::error("{}", reason);
  // A lease that an evaluator died too early to see has not been tried: the next evaluator gets it.
  const std::optional<Lease> lost = ready_ ? std::exchange(lease_, std::nullopt) : std::nullopt;
  const bool can_start = ready_ || ++num_failed_starts_ < kMaxFailedStarts;
  if (can_start) {
    ready_ = false;
    evaluator_ = start_evaluator();
    last_heard_s_ = monotonic_s();
    if (setup_) send_to_evaluator(*setup_);
    if (lease_) send_to_evaluator(*lease_);
  }
  // Last, because the answer may be a new lease, which waits in the socket until the new evaluator
  // is ready.
  if (lost) {
    to_master_(Failure{lost->unit, lost->attempt, FailureClass::kInfrastructure, reason});
  }
  if (!can_start) {
    stopped_ = true;
    to_master_(Failure{-1, 0, FailureClass::kInfrastructure, reason});
  }
}

}  // namespace prune_sweep
