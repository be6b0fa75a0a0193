#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/options.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/sweep/run_dir.hpp"

namespace prune_sweep {

namespace {

void print_status(const nlohmann::json& status) {
  std::printf(
      "%s: %ld of %ld records, %d of %d variants complete",
      status.at("state").get<std::string>().c_str(),
      status.at("num_records").get<int64_t>(),
      status.at("num_records_total").get<int64_t>(),
      status.at("num_variants_complete").get<int>(),
      status.at("num_variants").get<int>());
  const auto quarantined = status.at("num_quarantined").get<int64_t>();
  if (quarantined > 0) std::printf(", %ld questions in quarantine", quarantined);
  const auto left_s = status.at("time_left_s").get<double>();
  if (status.at("state") == "running" && left_s >= 0) std::printf(", %.0f s left", left_s);
  std::printf("\n");
  std::fflush(stdout);
}

/// The exit status of the last start; a run that has none yet can be resumed.
int exit_status(const RunDir& run) {
  if (!std::filesystem::exists(run.done())) return static_cast<int>(ExitStatus::kResumable);
  const std::string text = read_text_file(run.done());
  char* end = nullptr;
  const long status = std::strtol(text.c_str(), &end, 10);
  require(end != text.c_str(), run.done().string(), "does not hold an exit status");
  return static_cast<int>(status);
}

/// Once, or with --watch until the run has ended.
void show_status(const RunDir& run, const CommandLine& line) {
  while (true) {
    const auto status = nlohmann::json::parse(read_text_file(run.status()));
    if (line.has("json")) {
      std::printf("%s\n", status.dump(1).c_str());
    } else {
      print_status(status);
    }
    if (!line.has("watch") || status.at("state") != "running") return;
    std::this_thread::sleep_for(std::chrono::seconds(2));
  }
}

}  // namespace

int command_status(const CommandLine& line) {
  line.require_only({"json", "watch", "exit-code"}, 1);
  if (line.positional.empty()) bad_input("status", "needs a run directory");
  const RunDir run(line.positional.front());
  run.require_run();
  try {
    show_status(run, line);
  } catch (const nlohmann::json::exception& error) {
    bad_input(run.status().string(), printable(error.what(), 200));
  }
  return line.has("exit-code") ? exit_status(run) : 0;
}

}  // namespace prune_sweep
