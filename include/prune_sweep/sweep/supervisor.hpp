/// \file
/// The event loop of a rank: its evaluator, the other ranks, signals. Rank 0 has the master
/// besides.
#pragma once

#include <functional>
#include <string>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/core/savings.hpp"
#include "prune_sweep/protocol/message.hpp"
#include "prune_sweep/sweep/launch.hpp"
#include "prune_sweep/sweep/master.hpp"
#include "prune_sweep/sweep/mpi_link.hpp"
#include "prune_sweep/sweep/place.hpp"
#include "prune_sweep/sweep/run_dir.hpp"
#include "prune_sweep/sweep/stop_signals.hpp"

namespace prune_sweep {

/// What a run may wait for, seconds.
struct RunLimits {
  double deadline_s = 0;  ///< since 1970-01-01 UTC: nothing is leased that would end later; 0: none
  double grace_s = -1;    ///< for what is leased when the run is asked to stop; < 0: by the signal
  double disk_s = 60;     ///< how long a disk that refuses is tried again
  Patience patience;
};

/// Questions that an earlier start has put into quarantine.
enum class QuarantineUse : uint8_t { kKeep, kRetry };

/// What rank 0 knows before the first lease.
struct RunRequest {
  RunDir run;
  std::string job_text;  ///< the resolved job
  std::string questions_sha256;
  std::string end_ids;  ///< see end_ids_text()
  Plan plan;
  std::string command_line;
  std::string program_version;
  double started_s = 0;  ///< when the program was started, seconds since 1970-01-01 UTC
  RunLimits limits;
  QuarantineUse quarantine = QuarantineUse::kKeep;
  Gate gate;                    ///< may be empty
  bool shares_devices = false;  ///< two ranks may have one GPU
  Savings savings{};
};

/// Who a rank is: how it was launched, where it is, and of which build.
struct Self {
  Launch launch;
  Place place;
  std::string build;  ///< version and commit
};

/// Makes the archive, after the last commit; calls `while_waiting` every few milliseconds. Throws
/// Error (kDisk).
using Pack = std::function<void(const RunDir& run, const std::function<void()>& while_waiting)>;

/// What a run has come to, and how its ranks should end.
struct RunEnd {
  ExitStatus status = ExitStatus::kComplete;
  Leave leave = Leave::kTogether;
};

/// Rank 0: runs the plan to its end with the help of all ranks and writes everything but the
/// archive. `read_request` is called while the evaluator starts. The other ranks still wait when it
/// returns: dismiss_workers() comes next.
RunEnd run_master_rank(
    MpiLink& link,
    StopSignals& signals,
    const Self& self,
    const std::function<RunRequest()>& read_request,
    const Pack& pack);

/// Any other rank: serves until rank 0 says stop, or is gone.
Leave run_worker_rank(MpiLink& link, StopSignals& signals, const Self& self);

/// Rank 0: lets the other ranks leave.
void dismiss_workers(MpiLink& link, Leave leave);

}  // namespace prune_sweep
