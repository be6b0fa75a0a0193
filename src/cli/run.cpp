#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/job_inputs.hpp"
#include "cli/options.hpp"
#include "cli/run_options.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/clock.hpp"
#include "prune_sweep/core/host.hpp"
#include "prune_sweep/core/signs.hpp"
#include "prune_sweep/inputs/inputs.hpp"
#include "prune_sweep/sweep/child_process.hpp"
#include "prune_sweep/sweep/slurm.hpp"
#include "prune_sweep/sweep/supervisor.hpp"

namespace prune_sweep {

namespace {

constexpr double kPackTimeout_s = 600;

/// Rank and host stand in the pattern, so that no message has to name them.
void set_log_pattern(int rank) {
  spdlog::set_pattern(
      "prune-sweep [%H:%M:%S rank " + std::to_string(rank) + " " + host_name() + "] %v");
}

/// The message as the inside of a JSON string.
class JsonMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(
      const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    const std::string text =
        nlohmann::json(std::string(message.payload.begin(), message.payload.end()))
            .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<JsonMessage>();
  }
};

/// Hands the status to the script that started the launcher, in the file that it named. Launchers
/// do not hand it on, and some take any but 0 for a rank's failure, over which they end the others
/// or stay themselves. Returns what this process is to end with.
int hand_over(ExitStatus status) {
  const char* path = std::getenv("PRUNE_SWEEP_END");
  if (path == nullptr || *path == '\0') return static_cast<int>(status);
  try {
    write_file_atomically(path, std::to_string(static_cast<int>(status)) + "\n");
    return 0;
  } catch (const Error& error) {
    spdlog::warn("{}", error.what());
    return static_cast<int>(status);
  }
}

/// Warnings and errors go to the console and, as JSON Lines, into the run directory.
void add_log_file(const RunDir& run, int rank) {
  auto file = std::make_shared<spdlog::sinks::basic_file_sink_st>(run.log(rank).string());
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<JsonMessage>('j').set_pattern(
      R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","rank":)" + std::to_string(rank) +
      R"(,"host":")" + host_name() + R"(","message":%j})");
  file->set_formatter(std::move(formatter));
  spdlog::default_logger()->sinks().push_back(std::move(file));
  spdlog::default_logger()->flush_on(spdlog::level::info);
}

/// The archive is made by a process of its own: whatever happens to it, the journal is untouched.
void pack(const RunDir& run, const std::function<void()>& while_waiting) {
  ChildProcess packer(sibling_program("prune-sweep"), {"pack", run.path().string()}, std::nullopt);
  const double deadline_s = now_s() + kPackTimeout_s;
  std::optional<std::string> ended;
  while (!(ended = packer.ended())) {
    if (now_s() > deadline_s) {
      throw Error(ExitStatus::kDisk, run.archive().string(), "packing took more than ten minutes");
    }
    while_waiting();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (packer.exit_status() != 0) {
    throw Error(
        ExitStatus::kDisk,
        run.archive().string() + ": was not written (" + *ended + ")",
        "the records are safe in the journal",
        "prune-sweep pack " + run.path().string() + " tries again.");
  }
}

RunRequest read_request(const CommandLine& line, double started_s) {
  line.require_only(run_options(), 1);
  const RunLimits limits = run_limits(line, started_s);
  const Savings savings = savings_of(line);
  const RunDir run(output_dir_of(line));
  run.require_usable();
  const auto [job, inputs] = read_job_inputs(line, WeightsCheck::kDigest);
  Plan plan = plan_of(inputs, num_groups_of(line));
  Gate gate;
  if (!line.has("no-gates")) {
    gate = [asked = plan](const RecordTable& records, int32_t benchmark) {
      return objection_to_baseline(asked, records, benchmark);
    };
  }
  return {
      run,
      resolved_job_text(job),
      questions_digest(inputs.benchmarks),
      end_ids_text(inputs.config),
      std::move(plan),
      line.text,
      PRUNE_SWEEP_VERSION,
      started_s,
      limits,
      line.has("retry-failed") ? QuarantineUse::kRetry : QuarantineUse::kKeep,
      std::move(gate),
      line.has("allow-gpu-sharing"),
      savings};
}

/// Reads what is asked for and prepares its folder.
RunRequest begin_run(const MpiLink& link, const CommandLine& line, double started_s) {
  RunRequest request = read_request(line, started_s);
  request.run.create();
  add_log_file(request.run, link.rank());
  if (const std::string job = own_slurm_job(); !job.empty()) note_slurm_job(request.run, job);
  std::printf(
      "%zu variants, %ld records in %zu units on %d rank%s -> %s\n",
      request.plan.variants.size(),
      request.plan.num_records(),
      request.plan.units.size(),
      link.size(),
      link.size() == 1 ? "" : "s",
      request.run.path().c_str());
  std::fflush(stdout);
  return request;
}

RunEnd run_rank_0(
    MpiLink& link,
    StopSignals& signals,
    const Self& self,
    const CommandLine& line,
    double started_s) {
  try {
    const auto read = [&] { return begin_run(link, line, started_s); };
    return run_master_rank(link, signals, self, read, pack);
  } catch (const Error& error) {
    spdlog::error("{}", error.what());
    return {error.status()};
  }
}

}  // namespace

int command_run(const CommandLine& line) {
  const double started_s = now_s();
  StopSignals signals;
  const Launch launch = detect_launch();
  // MPI wants the arguments only where an implementation takes some of its own from them; none of
  // ours are.
  MpiLink link(nullptr, nullptr);
  set_log_pattern(link.rank());
  const Self self{launch, find_place(link.host_rank(), link.host_size()), program_build()};
  RunEnd end;
  int exit_status = 0;
  if (link.rank() == 0) {
    end = run_rank_0(link, signals, self, line, started_s);
    exit_status = hand_over(end.status);
    dismiss_workers(link, end.leave);
  } else {
    end.leave = run_worker_rank(link, signals, self);
  }
  if (end.leave == Leave::kAlone) link.leave_alone(exit_status);
  link.finalize(exit_status);
  return exit_status;
}

}  // namespace prune_sweep
