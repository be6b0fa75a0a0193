/// \file
/// What SLURM says of a job: until when it may run, where it stands in the queue.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/sweep/run_dir.hpp"

namespace prune_sweep {

/// A line of squeue.
struct QueueEntry {
  std::string job;    ///< "17", or "17_2" of an array
  std::string state;  ///< "PENDING", "RUNNING", ...
  std::string reason;
  std::string nodes;   ///< empty while it waits
  double start_s = 0;  ///< since 1970-01-01 UTC; of a job that waits what SLURM expects; 0: unknown
  double end_s = 0;    ///< 0: unknown
  bool operator==(const QueueEntry&) const = default;
};

/// `2026-11-26T04:00:00` in local time, as SLURM's commands print it, to seconds since 1970-01-01
/// UTC; nothing for N/A and the like.
std::optional<double> parse_slurm_time(std::string_view text);

/// What squeue prints for kQueueFormat. A line that is something else is left out.
inline constexpr std::string_view kQueueFormat = "%i|%T|%r|%N|%S|%e";
std::vector<QueueEntry> parse_queue(std::string_view text);

/// The queue's answer about a job; empty entries where it has left the queue.
struct QueueAnswer {
  std::vector<QueueEntry> entries;
  std::string error;  ///< why nobody could be asked
};
QueueAnswer ask_queue(const std::string& job);

/// `PENDING (Resources), expected to start 2026-11-26 04:00` for each entry, or that there is none.
std::string queue_text(const QueueAnswer& answer);

/// When the allocation this process is in ends, seconds since 1970-01-01 UTC: SLURM_JOB_END_TIME,
/// which SLURM sets from 23.02 on, else what `ask` says of SLURM_JOB_ID. Nothing outside SLURM, or
/// without a limit.
std::optional<double> allocation_end_s(
    const std::function<QueueAnswer(const std::string& job)>& ask = ask_queue);

/// Number of the job this process is in, `17_2` in an array; empty outside SLURM.
std::string own_slurm_job();

/// The job that a run was given to last: RUN/slurm.json. Throws Error (kDisk).
void note_slurm_job(const RunDir& run, const std::string& job);
/// Empty when there was none.
std::string noted_slurm_job(const RunDir& run);

}  // namespace prune_sweep
