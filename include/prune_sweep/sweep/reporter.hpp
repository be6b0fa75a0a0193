/// \file
/// What a person sees of a run: progress while it goes on, the table at its end, status.json for
/// other programs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/core/record_table.hpp"

namespace prune_sweep {

/// Where a run stands.
struct RunStatus {
  std::string run_id;
  std::string state;   ///< "running", "complete", "partial", "gated", "stopped", "failed"
  std::string reason;  ///< of a state that is not as wished
  int32_t num_ranks = 1;
  int64_t num_records = 0;
  int64_t num_records_total = 0;
  int64_t num_records_at_start = 0;  ///< taken over from earlier starts
  int32_t num_variants = 0;
  int32_t num_variants_complete = 0;
  int64_t num_quarantined = 0;  ///< questions
  int64_t variant_tokens = 0;   ///< of this start: see RecordTable::variant_tokens()
  double started_s = 0;         ///< of this start, seconds since 1970-01-01 UTC
  double now_s = 0;             ///< the same clock
  double first_result_s = 0;    ///< 0: none yet
  double share_done = 0;        ///< of this start's estimated work
};

/// Seconds the rest will take at the rate so far; negative when there is no rate yet.
double time_left_s(const RunStatus& status);

std::string status_json(const RunStatus& status);
/// `61 %  5210/8580 records  412/s  35210 variant-tokens/s  0:42 left`
std::string progress_line(const RunStatus& status);
/// `[17/39] drop-16  mmlu 0.412  gsm8k 0.333  12 s`
std::string variant_line(
    const Plan& plan, const RecordTable& records, int32_t variant, const RunStatus& status);
/// All variants with their accuracies, one a line, under a heading.
std::string results_table(const Plan& plan, const RecordTable& records);

/// Whether this process is a rank of mpirun.
bool is_under_launcher();
/// Whether a person watches standard output. Launchers give ranks a terminal of their own, so it is
/// the launcher's output that counts.
bool output_is_terminal();

}  // namespace prune_sweep
