#include "sweep/worker.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/clock.hpp"

namespace prune_sweep {

namespace {

/// Evaluators that die before they are ready are not started for ever.
constexpr int kMaxFailedStarts = 3;
constexpr double kBeatEvery_s = 2;
/// Rank 0 reads and digests the model before it sends the setup.
constexpr double kMaxSetupWait_s = 3600;
/// Without a master a worker is of no use, but a master may be held up by a slow disk: it gets ten
/// times the patience that other ranks get.
constexpr double kMasterPatienceFactor = 10;
/// A supervisor must not be held up by an evaluator that does not read.
constexpr double kSendTimeout_s = 5;

}  // namespace

Worker::Worker(
    const Place& place, EvaluatorProcess evaluator, std::function<void(const Message&)> to_master)
    : place_(place),
      to_master_(std::move(to_master)),
      evaluator_(std::move(evaluator)),
      evaluator_heard_s_(monotonic_s()),
      master_heard_s_(monotonic_s()),
      last_poll_s_(monotonic_s()) {}

void Worker::send_to_evaluator(const Message& message) {
  if (!evaluator_) return;
  try {
    evaluator_->channel.send(message, kSendTimeout_s);
  } catch (const Error& error) {
    // Its death is seen, and answered, by the next poll.
    spdlog::warn("evaluator does not take {}: {}", message_name(message), error.what());
    evaluator_->process.kill();
  }
}

void Worker::on_message(const Message& message) {
  master_heard_s_ = monotonic_s();
  if (const auto* setup = std::get_if<Setup>(&message)) {
    setup_ = *setup;
    setup_->num_threads = place_.num_threads;
    evaluator_heard_s_ = monotonic_s();
    send_to_evaluator(*setup_);
  } else if (const auto* lease = std::get_if<Lease>(&message)) {
    on_lease(*lease);
  } else if (const auto* revoke = std::get_if<Revoke>(&message)) {
    on_revoke(*revoke);
  } else if (const auto* stop = std::get_if<Stop>(&message)) {
    stop_ = *stop;
  } else if (const auto* refuse = std::get_if<Refuse>(&message)) {
    on_refuse(*refuse);
  }
}

/// Stays without an evaluator until all leave: a rank that left earlier would end the others.
void Worker::on_refuse(const Refuse& refuse) {
  // Two versions that do not understand each other refuse each other, once.
  if (std::exchange(refused_, true)) return;
  spdlog::error("{}", refuse.why);
  evaluator_.reset();
  leases_.clear();
}

void Worker::on_lease(const Lease& lease) {
  leases_.push_back(lease);
  if (leases_.size() > 1) return;
  evaluator_heard_s_ = monotonic_s();
  send_to_evaluator(lease);
}

void Worker::on_revoke(const Revoke& revoke) {
  const auto found = std::find_if(leases_.begin(), leases_.end(), [&](const Lease& lease) {
    return lease.unit == revoke.unit && lease.attempt == revoke.attempt;
  });
  if (found == leases_.begin() && found != leases_.end()) {
    send_to_evaluator(revoke);
  } else if (found != leases_.end()) {
    leases_.erase(found);
    to_master_(Failure{revoke.unit, revoke.attempt, FailureClass::kRevoked, "revoked"});
  }
}

void Worker::on_answer(int32_t unit, int32_t attempt) {
  if (leases_.empty()) return;
  if (leases_.front().unit != unit || leases_.front().attempt != attempt) return;
  leases_.pop_front();
  if (!leases_.empty()) send_to_evaluator(leases_.front());
}

bool Worker::is_silent() const {
  const bool is_at_work = !leases_.empty() || (setup_ && !ready_);
  return is_at_work && monotonic_s() - evaluator_heard_s_ > setup_->patience.evaluator_s;
}

bool Worker::is_abandoned() const {
  const Patience patience = setup_ ? setup_->patience : Patience{};
  const double patience_s =
      setup_ || refused_ ? kMasterPatienceFactor * patience.rank_s : kMaxSetupWait_s;
  return monotonic_s() - master_heard_s_ > patience_s;
}

void Worker::beat() {
  if (!setup_ && !refused_) return;
  const double every_s =
      setup_ ? std::min(kBeatEvery_s, setup_->patience.rank_s / 5) : kBeatEvery_s;
  if (monotonic_s() - last_beat_s_ < every_s) return;
  last_beat_s_ = monotonic_s();
  to_master_(Heartbeat{
      !leases_.empty() ? WorkerState::kAtWork
      : ready_         ? WorkerState::kIdle
                       : WorkerState::kStarting});
}

bool Worker::poll() {
  // A rank that was itself stopped or suspended has not listened: nobody is late.
  const double now_s = monotonic_s();
  if (setup_ && now_s - last_poll_s_ > setup_->patience.evaluator_s / 2) evaluator_heard_s_ = now_s;
  if (setup_ && now_s - last_poll_s_ > setup_->patience.rank_s) master_heard_s_ = now_s;
  last_poll_s_ = now_s;
  const bool happened = evaluator_ && poll_evaluator();
  beat();
  return happened;
}

bool Worker::poll_evaluator() {
  bool heard = false;
  try {
    while (auto message = evaluator_->channel.poll()) {
      heard = true;
      evaluator_heard_s_ = monotonic_s();
      on_evaluator_message(*message);
      if (!evaluator_) return true;
    }
  } catch (const Error& error) {
    evaluator_lost(error.what());
    return true;
  }
  if (is_silent()) {
    evaluator_lost("the evaluator said nothing for too long");
    return true;
  }
  if (const auto how = evaluator_->process.ended()) {
    evaluator_lost("the evaluator ended with " + *how);
    return true;
  }
  return heard;
}

void Worker::on_evaluator_message(const Message& message) {
  if (std::holds_alternative<Ready>(message)) {
    ready_ = true;
    num_failed_starts_ = 0;
    // What has been found to be the same stays so.
    setup_->model_sha256.clear();
  } else if (const auto* result = std::get_if<Result>(&message)) {
    on_answer(result->unit, result->attempt);
  } else if (const auto* failure = std::get_if<Failure>(&message)) {
    if (failure->unit < 0) {
      give_up(*failure);
      return;
    }
    on_answer(failure->unit, failure->attempt);
  }
  to_master_(message);
}

void Worker::evaluator_lost(const std::string& reason) {
  spdlog::error("{}", reason);
  evaluator_.reset();
  // A lease that an evaluator died too early to see has not been tried: the next evaluator gets it.
  std::optional<Lease> lost;
  if (ready_ && !leases_.empty()) {
    lost = std::move(leases_.front());
    leases_.pop_front();
  }
  if (!ready_ && ++num_failed_starts_ >= kMaxFailedStarts) {
    give_up({-1, 0, FailureClass::kInfrastructure, reason});
    return;
  }
  ready_ = false;
  evaluator_ = start_evaluator(place_);
  evaluator_heard_s_ = monotonic_s();
  if (setup_) send_to_evaluator(*setup_);
  if (!leases_.empty()) send_to_evaluator(leases_.front());
  // Last, because the answer may be a new lease, which waits in the socket until the new evaluator
  // is ready.
  if (lost) {
    to_master_(Failure{lost->unit, lost->attempt, FailureClass::kInfrastructure, reason});
  }
}

void Worker::give_up(const Failure& failure) {
  evaluator_.reset();
  leases_.clear();
  ready_ = false;
  to_master_(failure);
}

}  // namespace prune_sweep
