#include "sweep/master_rank.hpp"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>

#include "prune_sweep/core/clock.hpp"
#include "prune_sweep/core/digest.hpp"
#include "sweep/naps.hpp"

namespace prune_sweep {

namespace {

constexpr double kStatusEvery_s = 2;
constexpr double kLineEvery_s = 0.5;
constexpr double kTickEvery_s = 0.25;
constexpr double kDiskRetryEvery_s = 0.5;
constexpr double kDrainGrace_s = 60;
constexpr double kHurryGrace_s = 30;
/// mpirun follows its SIGTERM with a SIGKILL after one second; the archive is to be packed in it.
constexpr double kLauncherGrace_s = 0.3;

/// SLURM follows its SIGTERM with a SIGKILL after KillWait, half a minute unless a site says less.
constexpr double kStepGrace_s = 10;
/// Ranks that have not said hello by then are not waited for with the table of those who have.
constexpr double kHelloPatience_s = 10;

double grace_s(StopRequest stop, const RunLimits& limits, Launcher launcher) {
  if (limits.grace_s >= 0) return limits.grace_s;
  if (stop == StopRequest::kDrain) return kDrainGrace_s;
  switch (launcher) {
    case Launcher::kMpirun:
      return kLauncherGrace_s;
    case Launcher::kSrun:
      return kStepGrace_s;
    case Launcher::kNone:
      break;
  }
  return kHurryGrace_s;
}

DeviceUse device_use(const RunRequest& request) {
  if (request.plan.context.device == "cpu") return DeviceUse::kNone;
  return request.shares_devices ? DeviceUse::kShared : DeviceUse::kOwn;
}

}  // namespace

MasterRank::MasterRank(
    MpiLink& link,
    StopSignals& signals,
    const Self& self,
    const RunRequest& request,
    EvaluatorProcess evaluator)
    : link_(link),
      signals_(signals),
      self_(self),
      request_(request),
      roster_(hello_of(self.place, self.build), link.size(), device_use(request)),
      lock_(request.run),
      history_(read_history(request.plan, request.run.journals())),
      run_id_(history_.starts.empty() ? new_run_id() : history_.starts.front().run_id),
      journal_(Journal::create(request.run.next_journal())),
      master_(request.plan, std::move(history_.records), master_settings()),
      worker_(
          self.place,
          std::move(evaluator),
          [this](const Message& message) { on_message(0, message); }),
      queue_(
          {.append = [this](const JournalEntry& entry) { journal_.append(entry); },
           .commit = [this] { journal_.commit(); },
           .send = [this](const Send& message) { send(message); }}),
      num_records_at_start_(master_.records().num_records()),
      variant_tokens_at_start_(master_.records().variant_tokens()),
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
  if (history_.num_foreign_records > 0) {
    std::printf(
        "%ld records in the journals belong to variants, questions, rules or a model that this job "
        "does not have: they are kept and not used\n",
        history_.num_foreign_records);
  }
}

std::string MasterRank::new_run_id() const {
  return sha256_hex(
             plan_sha256(request_.plan) + std::to_string(request_.started_s) +
             std::to_string(::getpid()))
      .substr(0, 16);
}

MasterSettings MasterRank::master_settings() const {
  MasterSettings settings;
  settings.num_workers = link_.size();
  settings.rank_silence_s = request_.limits.patience.rank_s;
  settings.deadline_s = request_.limits.deadline_s;
  if (request_.quarantine == QuarantineUse::kKeep) settings.quarantines = history_.quarantines;
  settings.gate = request_.gate;
  return settings;
}

void MasterRank::write_start() {
  write_file_atomically(request_.run.job(), request_.job_text);
  write_file_atomically(request_.run.plan(), plan_to_json(request_.plan));
  std::error_code error;
  std::filesystem::remove(request_.run.done(), error);
  if (error) disk_error("remove", request_.run.done().string(), error.value());
  journal_.append(
      StartEntry{run_id_, request_.command_line, request_.program_version, request_.started_s});
  journal_.commit();
  write_status("running");
}

RunEnd MasterRank::run(const Pack& pack) {
  write_start();
  worker_.on_message(setup_for(0));
  event_loop();
  clear_line();
  const ExitStatus exit_status = conclude(pack);
  return {exit_status, master_.has_lost_rank() ? Leave::kAlone : Leave::kTogether};
}

// --- who takes part -----------------------------------------------------------------------------

Setup MasterRank::setup_for(int32_t rank) const {
  const PlanContext& context = request_.plan.context;
  return {
      .job_text = request_.job_text,
      .questions_sha256 = request_.questions_sha256,
      .tokenizer_sha256 = context.tokenizer_sha256,
      .end_ids = request_.end_ids,
      .device = context.device,
      // The plan's is of the files of this host.
      .model_sha256 = roster_.is_on_own_host(rank) ? "" : context.model_sha256,
      .patience = request_.limits.patience,
      .savings = request_.savings};
}

void MasterRank::on_hello(int32_t rank, const Hello& hello) {
  const std::string refusal = roster_.add(rank, hello);
  refusal.empty() ? link_.send(rank, setup_for(rank)) : refuse(rank, refusal);
}

void MasterRank::refuse(int32_t rank, const std::string& why) {
  spdlog::error("{}", why);
  link_.send(rank, Refuse{why});
  const Failure failure{-1, 0, FailureClass::kInput, why};
  if (!is_concluding_) carry_out(master_.on_message(rank, failure, now_s()));
}

void MasterRank::introduce_ranks() {
  const bool is_late = now_s() - request_.started_s > kHelloPatience_s;
  if (are_ranks_introduced_ || !(roster_.is_complete() || is_late)) return;
  are_ranks_introduced_ = true;
  std::printf("%s\n%s", roster_.launch_line(self_.launch).c_str(), roster_.table().c_str());
  std::fflush(stdout);
}

// --- the loop -----------------------------------------------------------------------------------

void MasterRank::event_loop() {
  Naps naps;
  bool busy = true;
  while (goes_on()) {
    naps.nap(worker_.fd(), signals_.fd(), busy);
    busy = listen();
    take_signals();
    if (now_s() - last_tick_s_ > kTickEvery_s) {
      last_tick_s_ = now_s();
      carry_out(master_.on_tick(last_tick_s_));
      // What is leased may take longer than it was thought to; the time to pack is not its own.
      const double deadline_s = request_.limits.deadline_s;
      if (deadline_s > 0 && leave_at_s_ == 0 && last_tick_s_ > deadline_s)
        leave_at_s_ = last_tick_s_;
    }
    flush();
    introduce_ranks();
    report();
  }
}

bool MasterRank::goes_on() {
  if (stop_ == StopRequest::kLeave) return false;
  if (leave_at_s_ > 0 && now_s() > leave_at_s_) return false;
  const bool is_disk_given_up =
      disk_refuses_since_s_ > 0 && now_s() - disk_refuses_since_s_ > request_.limits.disk_s;
  return !is_disk_given_up && !(master_.is_finished() && queue_.is_empty());
}

bool MasterRank::listen() {
  bool heard = worker_.poll();
  while (auto received = link_.poll()) {
    heard = true;
    on_message(received->first, received->second);
  }
  return heard;
}

void MasterRank::on_message(int32_t rank, const Message& message) {
  if (const auto* failure = std::get_if<Failure>(&message)) {
    if (failure->unit < 0) {
      spdlog::error("rank {}: {}", rank, failure->text);
    } else {
      spdlog::error("rank {}, unit {}: {}", rank, failure->unit, failure->text);
    }
  }
  if (const auto* hello = std::get_if<Hello>(&message)) return on_hello(rank, *hello);
  if (const auto* refusal = std::get_if<Refuse>(&message)) {
    return refuse(rank, "rank " + std::to_string(rank) + ": " + refusal->why);
  }
  if (std::holds_alternative<Result>(message) && first_result_s_ == 0) first_result_s_ = now_s();
  if (std::holds_alternative<Heartbeat>(message) && rank != 0) link_.send(rank, Heartbeat{});
  // What comes at the end would be counted and not written any more.
  if (!is_concluding_) carry_out(master_.on_message(rank, message, now_s()));
}

void MasterRank::carry_out(std::vector<Action> actions) {
  for (Action& action : actions) {
    if (auto* commit = std::get_if<Commit>(&action)) {
      queue_.add(std::move(*commit));
    } else if (auto* message = std::get_if<Send>(&action)) {
      queue_.add(std::move(*message));
    } else {
      spdlog::warn("{}", std::get<Note>(action).text);
    }
  }
}

void MasterRank::send(const Send& message) {
  if (message.worker == 0) {
    worker_.on_message(message.message);
  } else {
    link_.send(message.worker, message.message);
  }
}

void MasterRank::flush() {
  const double now = now_s();
  if (disk_refuses_since_s_ > 0 && now - last_flush_s_ < kDiskRetryEvery_s) return;
  last_flush_s_ = now;
  if (const auto error = queue_.flush()) {
    if (disk_refuses_since_s_ == 0) {
      spdlog::error("{}; results wait in memory, no more work is given out", *error);
      disk_refuses_since_s_ = now;
    }
    disk_error_ = *error;
  } else if (disk_refuses_since_s_ > 0) {
    spdlog::warn("the disk takes results again");
    disk_refuses_since_s_ = 0;
  }
}

void MasterRank::take_signals() {
  const StopRequest asked = signals_.take();
  if (asked <= stop_) return;
  if (stop_ == StopRequest::kNone) {
    leave_at_s_ = now_s() + grace_s(asked, request_.limits, self_.launch.launcher);
    spdlog::warn(
        "asked to stop: what is being computed is waited for, a second signal leaves at once");
    // There may be no time for it later.
    if (asked == StopRequest::kHurry && self_.launch.launcher == Launcher::kMpirun) {
      write_done(ExitStatus::kResumable);
    }
  }
  stop_ = asked;
  carry_out(master_.drain());
}

// --- the end ------------------------------------------------------------------------------------

ExitStatus MasterRank::conclude(const Pack& pack) {
  is_concluding_ = true;
  if (disk_refuses_since_s_ > 0 && !queue_.is_empty()) {
    return finish(ExitStatus::kDisk, "stopped", disk_error_);
  }
  if (stop_ == StopRequest::kLeave) return finish(ExitStatus::kResumable, "stopped", "");
  if (master_.records().num_records() > 0) {
    if (pack_archive(pack) != ExitStatus::kComplete) {
      const bool is_left = stop_ == StopRequest::kLeave;
      return finish(is_left ? ExitStatus::kResumable : ExitStatus::kDisk, "stopped", disk_error_);
    }
    std::printf("\n%s\n", results_table(request_.plan, master_.records()).c_str());
    std::printf("archive: %s\n", request_.run.archive().c_str());
  }
  if (!master_.gate_reason().empty()) {
    return finish(ExitStatus::kPartial, "gated", master_.gate_reason());
  }
  if (master_.is_complete()) return finish(ExitStatus::kComplete, "complete", "");
  if (!master_.fatal_error().empty()) {
    const bool is_input = master_.fatal_class() == FailureClass::kInput;
    return finish(
        is_input ? ExitStatus::kBadInput : ExitStatus::kResumable,
        is_input ? "failed" : "stopped",
        master_.fatal_error());
  }
  if (stop_ != StopRequest::kNone) return finish(ExitStatus::kResumable, "stopped", "");
  if (master_.is_past_deadline()) return finish(ExitStatus::kResumable, "stopped", "the deadline");
  return finish(
      ExitStatus::kPartial,
      "partial",
      std::to_string(master_.num_quarantined()) +
          " questions were not evaluated for all variants; --retry-failed tries them again");
}

/// Tries again for as long as a disk is waited for.
ExitStatus MasterRank::pack_archive(const Pack& pack) {
  const double give_up_s = now_s() + request_.limits.disk_s;
  while (true) {
    try {
      pack(request_.run, [this] {
        listen();
        take_signals();
        if (stop_ == StopRequest::kLeave) {
          throw Error(ExitStatus::kResumable, "packing", "it was asked to leave at once");
        }
      });
      return ExitStatus::kComplete;
    } catch (const Error& error) {
      spdlog::error("{}", error.what());
      disk_error_ = error.what();
    }
    if (now_s() > give_up_s || stop_ != StopRequest::kNone) return ExitStatus::kDisk;
    const double again_s = now_s() + kDiskRetryEvery_s;
    while (now_s() < again_s && stop_ != StopRequest::kLeave) {
      listen();
      take_signals();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

ExitStatus MasterRank::finish(
    ExitStatus exit_status, const std::string& state, const std::string& why) {
  if (!why.empty()) spdlog::error("{}: {}", state, why);
  if (exit_status == ExitStatus::kResumable) {
    spdlog::warn("stopped; the same command goes on where this one ended");
  }
  status_reason_ = why;
  write_status(state);
  write_done(exit_status);
  return exit_status;
}

// --- what a person sees -------------------------------------------------------------------------

RunStatus MasterRank::status(const std::string& state) const {
  const RecordTable& records = master_.records();
  RunStatus status;
  status.run_id = run_id_;
  status.state = state;
  status.reason = status_reason_;
  status.num_ranks = link_.size();
  status.num_records = records.num_records();
  status.num_records_total = request_.plan.num_records();
  status.num_records_at_start = num_records_at_start_;
  status.num_variants = static_cast<int32_t>(request_.plan.variants.size());
  for (int32_t variant = 0; variant < status.num_variants; ++variant) {
    status.num_variants_complete += records.is_complete(variant) ? 1 : 0;
  }
  status.num_quarantined = master_.num_quarantined();
  status.variant_tokens = records.variant_tokens() - variant_tokens_at_start_;
  status.started_s = request_.started_s;
  status.now_s = now_s();
  status.first_result_s = first_result_s_;
  status.share_done = flops_at_start_ > 0 ? 1 - master_.remaining_flops() / flops_at_start_ : 1;
  return status;
}

/// What only informs must not end a run.
void MasterRank::write_status(const std::string& state) {
  last_status_s_ = now_s();
  try {
    write_file_atomically(request_.run.status(), status_json(status(state)));
    status_was_written_ = true;
  } catch (const Error& error) {
    if (std::exchange(status_was_written_, false)) spdlog::warn("{}", error.what());
  }
}

void MasterRank::write_done(ExitStatus exit_status) {
  try {
    write_file_atomically(
        request_.run.done(), std::to_string(static_cast<int>(exit_status)) + "\n");
  } catch (const Error& error) {
    spdlog::warn("{}", error.what());
  }
}

void MasterRank::report() {
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

void MasterRank::clear_line() const {
  if (terminal_) std::printf("\r\x1b[K");
}

}  // namespace prune_sweep
