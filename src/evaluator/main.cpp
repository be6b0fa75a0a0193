/// prune-sweep-evaluator: the program that computes. `serve` is a supervisor's child and takes
/// leases over the socket that it inherits; `score` answers JSON Lines; `export` writes a variant;
/// `rate` measures products.
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <optional>
#include <string_view>
#include <utility>

#include "evaluator/faults.hpp"
#include "evaluator/kept_memory.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/clock.hpp"
#include "prune_sweep/core/cores.hpp"
#include "prune_sweep/core/job.hpp"
#include "prune_sweep/engine/rate.hpp"
#include "prune_sweep/evaluator/evaluate.hpp"
#include "prune_sweep/evaluator/export.hpp"
#include "prune_sweep/evaluator/score.hpp"
#include "prune_sweep/protocol/channel.hpp"

namespace prune_sweep {
namespace {

/// The descriptor at which a supervisor leaves its evaluator's end of the socket.
constexpr int kChannelFd = 3;
constexpr double kProgressEvery_s = 1;

/// Dies with its rank, outlives signals that are meant for the rank, and may use every core of its
/// cpuset: launchers bind ranks to single cores, and children inherit that.
void detach_from_launcher(pid_t supervisor) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The supervisor may have died before the call above took effect.
  if (::getppid() != supervisor) std::_Exit(static_cast<int>(ExitStatus::kInternal));
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) std::signal(signal, SIG_IGN);
  unbind_from_cores();
}

/// Thrown at a batch's end when the lease is no longer wanted.
struct Revoked {};

/// The supervisor's messages, read in order; while a lease is worked on, only a word about it is
/// acted upon.
class Conversation {
 public:
  explicit Conversation(Channel& channel) : channel_(channel) {}

  /// Nothing when the supervisor is gone.
  std::optional<Message> next() {
    if (waiting_.empty()) return channel_.receive();
    Message message = std::move(waiting_.front());
    waiting_.pop_front();
    return message;
  }

  void set_lease(int32_t unit, int32_t attempt) {
    progress_ = {unit, attempt};
    is_to_end_ = false;
  }

  /// Says that work goes on, not more often than anybody needs to know. Throws Revoked.
  void beat() {
    if (monotonic_s() - last_beat_s_ < kProgressEvery_s) return;
    last_beat_s_ = monotonic_s();
    channel_.send(progress_);
    listen();
  }

  /// What is finished of the lease is wanted now. Throws Revoked.
  bool should_stop() {
    listen();
    return is_to_end_;
  }

 private:
  void listen() {
    while (auto message = channel_.poll()) {
      const auto* revoke = std::get_if<Revoke>(&*message);
      if (revoke == nullptr) {
        waiting_.push_back(std::move(*message));
      } else if (revoke->unit == progress_.unit && revoke->attempt == progress_.attempt) {
        if (revoke->finished == Finished::kDiscard) throw Revoked{};
        is_to_end_ = true;
      }
    }
  }

  Channel& channel_;
  std::deque<Message> waiting_;
  Progress progress_{-1, 0};
  bool is_to_end_ = false;
  double last_beat_s_ = monotonic_s();
};

FailureClass failure_class(const Error& error) {
  return error.status() == ExitStatus::kBadInput ? FailureClass::kInput : FailureClass::kTask;
}

int serve(pid_t supervisor) {
  detach_from_launcher(supervisor);
  Channel channel(kChannelFd);
  const char* faults_text = std::getenv("PRUNE_SWEEP_FAULTS");
  const Faults faults(faults_text != nullptr ? faults_text : "", kChannelFd);
  Conversation conversation(channel);
  std::optional<Evaluator> evaluator;
  Failure failure;
  while (auto message = conversation.next()) {
    try {
      if (const auto* setup = std::get_if<Setup>(&*message)) {
        failure = {};
        faults.on_setup();
        const EngineHooks hooks{
            .on_progress = [&conversation] { conversation.beat(); },
            .should_stop =
                [&conversation, &faults] {
                  faults.on_batch();
                  return conversation.should_stop();
                }};
        evaluator.emplace(*setup, hooks);
        channel.send(evaluator->ready());
      } else if (const auto* lease = std::get_if<Lease>(&*message)) {
        failure = {.unit = lease->unit, .attempt = lease->attempt};
        conversation.set_lease(lease->unit, lease->attempt);
        faults.on_lease(*lease);
        channel.send(evaluator.value().evaluate(*lease));
      } else if (!std::holds_alternative<Revoke>(*message)) {
        return 0;
      }
    } catch (const Revoked&) {
      failure.failure = FailureClass::kRevoked;
      channel.send(failure);
    } catch (const Error& error) {
      failure.failure = failure_class(error);
      failure.text = error.what();
      channel.send(failure);
    } catch (const std::exception& error) {
      // What a device has failed at it may fail at for ever: another process begins anew on it.
      if (evaluator && evaluator->ready().device != "cpu") throw;
      failure.failure = FailureClass::kInfrastructure;
      failure.text = error.what();
      channel.send(failure);
    }
  }
  return 0;
}

/// `rate DTYPE HIDDEN INTERMEDIATE`: what `plan` asks for.
int print_rate(const char* dtype, const char* hidden, const char* intermediate) {
  const CoreCount cores = count_cores();
  unbind_from_cores();
  std::printf(
      "%.6g\n",
      measure_flops_per_s(
          parse_dtype(dtype, "rate"), std::atol(hidden), std::atol(intermediate), cores.usable));
  return 0;
}

int main_function(int argc, char** argv) {
  keep_memory();
  const std::string_view command = argc > 1 ? argv[1] : "";
  try {
    if (command == "serve" && argc == 3) return serve(static_cast<pid_t>(std::atol(argv[2])));
    if (command == "rate" && argc == 5) return print_rate(argv[2], argv[3], argv[4]);
    if (command == "score") return run_score(argc - 1, argv + 1);
    if (command == "export") return run_export(argc - 1, argv + 1);
    bad_input("prune-sweep-evaluator", "is started by prune-sweep", "Use prune-sweep instead.");
  } catch (const Error& error) {
    std::fprintf(stderr, "prune-sweep: %s\n", error.what());
    return static_cast<int>(error.status());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "prune-sweep: internal error: %s\n", error.what());
    return static_cast<int>(ExitStatus::kInternal);
  }
}

}  // namespace
}  // namespace prune_sweep

int main(int argc, char** argv) { return prune_sweep::main_function(argc, argv); }
