/// prune-sweep-evaluator: the program that computes. `serve` is a supervisor's child and takes
/// leases over the socket that it inherits; `score` answers JSON Lines.
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include "evaluator/faults.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/evaluator/evaluate.hpp"
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
  cpu_set_t all;
  std::memset(&all, 0xff, sizeof all);
  ::sched_setaffinity(0, sizeof all, &all);
}

/// Tells the supervisor that work goes on, but not more often than it needs to know.
class Heartbeat {
 public:
  explicit Heartbeat(Channel& channel) : channel_(channel) {}

  void set_lease(int32_t unit, int32_t attempt) { progress_ = {unit, attempt}; }
  void beat() {
    const auto now = std::chrono::steady_clock::now();
    if (std::chrono::duration<double>(now - last_).count() < kProgressEvery_s) return;
    last_ = now;
    channel_.send(progress_);
  }

 private:
  Channel& channel_;
  Progress progress_{-1, 0};
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

FailureClass failure_class(const Error& error) {
  return error.status() == ExitStatus::kBadInput ? FailureClass::kInput : FailureClass::kTask;
}

int serve(pid_t supervisor) {
  detach_from_launcher(supervisor);
  Channel channel(kChannelFd);
  const char* faults_text = std::getenv("PRUNE_SWEEP_FAULTS");
  const Faults faults(faults_text != nullptr ? faults_text : "", kChannelFd);
  Heartbeat heartbeat(channel);
  std::optional<Evaluator> evaluator;
  Failure failure;
  while (auto message = channel.receive()) {
    try {
      if (const auto* setup = std::get_if<Setup>(&*message)) {
        failure = {};
        faults.on_setup();
        evaluator.emplace(*setup, [&heartbeat] { heartbeat.beat(); });
        channel.send(evaluator->ready());
      } else if (const auto* lease = std::get_if<Lease>(&*message)) {
        failure = {.unit = lease->unit, .attempt = lease->attempt};
        heartbeat.set_lease(lease->unit, lease->attempt);
        faults.on_lease(*lease);
        channel.send(evaluator.value().evaluate(*lease));
      } else {
        return 0;
      }
    } catch (const Error& error) {
      failure.failure = failure_class(error);
      failure.text = error.what();
      channel.send(failure);
    } catch (const std::exception& error) {
      failure.failure = FailureClass::kInfrastructure;
      failure.text = error.what();
      channel.send(failure);
    }
  }
  return 0;
}

int main_function(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  try {
    if (command == "serve" && argc == 3) return serve(static_cast<pid_t>(std::atol(argv[2])));
    if (command == "score") return run_score(argc - 1, argv + 1);
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
