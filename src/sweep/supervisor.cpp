#include "prune_sweep/sweep/supervisor.hpp"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/sweep/master.hpp"
#include "prune_sweep/sweep/reporter.hpp"
#include "worker.hpp"

namespace prune_sweep {

namespace {

constexpr double kStatusEvery_s = 2;
constexpr double kLineEvery_s = 0.5;
/// Naps grow to this while nothing happens: latency against the share of a core an idle rank takes.
constexpr int kLongestNap_ms = 10;

double now_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// Waits until the evaluator or a signal has something, or the nap is over. MPI has no descriptor
/// to wait on, so the nap bounds how late its messages are seen.
class Naps {
 public:
  void nap(int evaluator_fd, int signal_fd, bool busy) {
    nap_ms_ = busy ? 1 : std::min(nap_ms_ * 2, kLongestNap_ms);
    std::array<pollfd, 2> entries{pollfd{evaluator_fd, POLLIN, 0}, pollfd{signal_fd, POLLIN, 0}};
    if (::poll(entries.data(), entries.size(), busy ? 0 : nap_ms_) < 0 && errno != EINTR) {
      throw Error(ExitStatus::kInternal, "poll", std::strerror(errno));
    }
    // A closed socket is readable for ever: while its process is being reaped the nap must not
    // spin.
    if ((entries[0].revents & (POLLHUP | POLLERR)) != 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
  int nap_ms_ = 1;
};

/// Rank 0: the master, its journal, its own worker, and what a person sees.
class MasterRank {
 public:
  MasterRank(MpiLink& link, StopSignals& signals, const RunRequest& request)
      : link_(link),
        signals_(signals),
        request_(request),
        lock_(request.run),
        history_(read_history(request.plan, request.run.journals())),
        run_id_(history_.starts.empty() ? new_run_id() : history_.starts.front().run_id),
        journal_(Journal::create(request.run.next_journal())),
        master_(request.plan, std::move(history_.records)),
        worker_([this](const Message& message) { on_message(0, message); }),
        num_records_at_start_(master_.records().num_records()),
        flops_at_start_(master_.remaining_flops()),
        terminal_(output_is_terminal()) {
    if (history_.num_unreadable_bytes > 0) {
      spdlog::warn(
          "{} bytes of the journal cannot be read; their records are made again",
          history_.num_unreadable_bytes);
    }
    if (num_records_at_start_ > 0) {
      std::printf(
          "resuming: %ld of %ld records are there\n",
          num_records_at_start_,
          request.plan.num_records());
    }
  }

  ExitStatus run(const std::function<void()>& pack) {
    write_start();
    const Setup setup{request_.job_text, request_.questions_sha256, num_threads()};
    worker_.on_message(setup);
    for (int rank = 1; rank < link_.size(); ++rank) link_.send(rank, setup);
    event_loop();
    for (int rank = 1; rank < link_.size(); ++rank) link_.send(rank, Stop{});
    clear_line();
    if (!master_.fatal_error().empty()) return finish(ExitStatus::kBadInput, "failed");
    if (master_.records().num_records() > 0) {
      try {
        pack();
      } catch (const Error& error) {
        spdlog::error("{}", error.what());
        return finish(ExitStatus::kDisk, "stopped");
      }
      std::printf("\n%s\n", results_table(request_.plan, master_.records()).c_str());
    }
    if (master_.is_complete()) return finish(ExitStatus::kComplete, "complete");
    if (stop_ != StopRequest::kNone) return finish(ExitStatus::kResumable, "stopped");
    return finish(ExitStatus::kPartial, "partial");
  }

 private:
  std::string new_run_id() const {
    return sha256_hex(
               plan_sha256(request_.plan) + std::to_string(request_.started_s) +
               std::to_string(::getpid()))
        .substr(0, 16);
  }

  /// Cores of the host shared out among its ranks.
  int32_t num_threads() const {
    const auto cores = static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
    return std::max(1, cores / link_.host_size());
  }

  void write_start() {
    write_file_atomically(request_.run.job(), request_.job_text);
    write_file_atomically(request_.run.plan(), plan_to_json(request_.plan));
    std::filesystem::remove(request_.run.done());
    journal_.append(
        StartEntry{run_id_, request_.command_line, request_.program_version, request_.started_s});
    journal_.commit();
    write_status("running");
  }

  void event_loop() {
    Naps naps;
    bool busy = true;
    while (!master_.is_finished() && stop_ != StopRequest::kLeave && !worker_.is_stopped()) {
      naps.nap(worker_.fd(), signals_.fd(), busy);
      busy = worker_.poll();
      while (auto received = link_.poll()) {
        busy = true;
        on_message(received->first, received->second);
      }
      stop_ = std::max(stop_, signals_.take());
      if (stop_ == StopRequest::kDrain) master_.drain();
      report();
    }
  }

  void on_message(int32_t rank, const Message& message) {
    if (const auto* failure = std::get_if<Failure>(&message)) {
      spdlog::error("rank {}, unit {}: {}", rank, failure->unit, failure->text);
    }
    if (std::holds_alternative<Result>(message) && first_result_s_ == 0) first_result_s_ = now_s();
    carry_out(master_.on_message(rank, message, now_s()));
  }

  void carry_out(const std::vector<Action>& actions) {
    for (const Action& action : actions) {
      if (const auto* commit = std::get_if<Commit>(&action)) {
        journal_.append(commit->entry);
        journal_.commit();
      } else {
        const Send& send = std::get<Send>(action);
        if (send.worker == 0) {
          worker_.on_message(send.message);
        } else {
          link_.send(send.worker, send.message);
        }
      }
    }
  }

  RunStatus status(const std::string& state) const {
    const RecordTable& records = master_.records();
    RunStatus status;
    status.run_id = run_id_;
    status.state = state;
    status.num_ranks = link_.size();
    status.num_records = records.num_records();
    status.num_records_total = request_.plan.num_records();
    status.num_records_at_start = num_records_at_start_;
    status.num_variants = static_cast<int32_t>(request_.plan.variants.size());
    for (int32_t variant = 0; variant < status.num_variants; ++variant) {
      status.num_variants_complete += records.is_complete(variant) ? 1 : 0;
    }
    status.num_units_given_up = master_.num_units_given_up();
    status.started_s = request_.started_s;
    status.now_s = now_s();
    status.first_result_s = first_result_s_;
    status.share_done = flops_at_start_ > 0 ? 1 - master_.remaining_flops() / flops_at_start_ : 1;
    return status;
  }

  void write_status(const std::string& state) {
    write_file_atomically(request_.run.status(), status_json(status(state)));
    last_status_s_ = now_s();
  }

  void report() {
    for (const int32_t variant : master_.take_completed_variants()) {
      if (terminal_) continue;
      RunStatus line_status = status("running");
      line_status.num_variants_complete = ++num_variants_reported_;
      std::printf(
          "%s\n", variant_line(request_.plan, master_.records(), variant, line_status).c_str());
      std::fflush(stdout);
    }
    const double now = now_s();
    if (terminal_ && now - last_line_s_ > kLineEvery_s) {
      std::printf("\r%s\x1b[K", progress_line(status("running")).c_str());
      std::fflush(stdout);
      last_line_s_ = now;
    }
    if (now - last_status_s_ > kStatusEvery_s) write_status("running");
  }

  void clear_line() const {
    if (terminal_) std::printf("\r\x1b[K");
  }

  ExitStatus finish(ExitStatus exit_status, const std::string& state) {
    if (exit_status == ExitStatus::kBadInput) {
      spdlog::error("{}", master_.fatal_error());
    } else if (exit_status == ExitStatus::kPartial) {
      spdlog::error(
          "{} units were given up; prune-sweep status {} says more",
          master_.num_units_given_up(),
          request_.run.path().string());
    } else if (exit_status == ExitStatus::kResumable) {
      spdlog::warn("stopped; the same command goes on where this one ended");
    }
    write_status(state);
    write_file_atomically(
        request_.run.done(), std::to_string(static_cast<int>(exit_status)) + "\n");
    return exit_status;
  }

  MpiLink& link_;
  StopSignals& signals_;
  const RunRequest& request_;
  RunLock lock_;
  History history_;
  std::string run_id_;
  Journal journal_;
  Master master_;
  Worker worker_;
  int64_t num_records_at_start_;
  double flops_at_start_;
  bool terminal_;
  int32_t num_variants_reported_ = 0;
  double first_result_s_ = 0;
  double last_status_s_ = 0;
  double last_line_s_ = 0;
  StopRequest stop_ = StopRequest::kNone;
};

}  // namespace

ExitStatus run_master_rank(
    MpiLink& link,
    StopSignals& signals,
    const RunRequest& request,
    const std::function<void()>& pack) {
  return MasterRank(link, signals, request).run(pack);
}

void run_worker_rank(MpiLink& link, StopSignals& signals) {
  Worker worker([&link](const Message& message) { link.send(0, message); });
  Naps naps;
  bool busy = true;
  while (!worker.is_stopped() && signals.take() != StopRequest::kLeave) {
    naps.nap(worker.fd(), signals.fd(), busy);
    busy = worker.poll();
    while (auto received = link.poll()) {
      busy = true;
      worker.on_message(received->second);
    }
  }
}

void dismiss_workers(MpiLink& link) {
  for (int rank = 1; rank < link.size(); ++rank) link.send(rank, Stop{});
}

}  // namespace prune_sweep
