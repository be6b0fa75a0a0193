/// \file
/// The event loop of a rank: its evaluator, the other ranks, signals. Rank 0 has the master
/// besides.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/protocol/message.hpp"
#include "prune_sweep/sweep/history.hpp"
#include "prune_sweep/sweep/mpi_link.hpp"
#include "prune_sweep/sweep/run_dir.hpp"
#include "prune_sweep/sweep/stop_signals.hpp"

namespace prune_sweep {

/// What rank 0 knows before the first lease.
struct RunRequest {
  RunDir run;
  std::string job_text;  ///< the resolved job
  std::string questions_sha256;
  Plan plan;
  std::string command_line;
  std::string program_version;
  double started_s = 0;  ///< when the program was started, seconds since 1970-01-01 UTC
};

/// Rank 0: runs the plan to its end with the help of all ranks and writes everything but the
/// archive. Returns what the run has come to; `pack` makes the archive and is called once, after
/// the last commit.
ExitStatus run_master_rank(
    MpiLink& link,
    StopSignals& signals,
    const RunRequest& request,
    const std::function<void()>& pack);

/// Any other rank: serves until rank 0 says stop.
void run_worker_rank(MpiLink& link, StopSignals& signals);

/// Rank 0, when there is nothing to run: lets the other ranks leave.
void dismiss_workers(MpiLink& link);

}  // namespace prune_sweep
