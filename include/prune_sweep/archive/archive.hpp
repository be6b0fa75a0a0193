/// \file
/// The archive: what users read. Described path by path in results/FORMAT.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/core/phases.hpp"
#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/core/record_table.hpp"

namespace prune_sweep {

inline constexpr int32_t kFormatMajor = 1;
inline constexpr int32_t kFormatMinor = 1;

/// Root attributes that do not follow from the plan, in the order they are written.
struct Provenance {
  std::string run_id;
  std::string job;  ///< verbatim
  std::string command_line;
  std::string program_version;
  std::string git_commit;
  std::string torch_version;
  std::string device;
  std::vector<std::string> hosts;
  std::string created_utc;  ///< ISO 8601
};

/// One committed or failed attempt at a unit: may differ between equal runs.
struct UnitAudit {
  int32_t unit = 0;
  int32_t attempt = 0;
  int32_t rank = 0;
  std::string host;
  double started_s = 0;  ///< since the start of the run's first start, seconds
  double elapsed_s = 0;
  std::string outcome;      ///< "committed", "failed: ...", "lost: ..."
  PhaseSeconds phases_s{};  ///< of elapsed_s
  double idle_s = 0;        ///< that the rank had nothing to do before, within the same start
};

/// A question that is not asked any more, because the evaluators that asked it failed.
struct QuarantineAudit {
  std::string benchmark;
  std::string subject;
  int32_t doc_id = 0;
  std::string variants;  ///< names, separated by commas
  std::string reason;
};

struct Audit {
  std::vector<UnitAudit> units;
  std::vector<QuarantineAudit> quarantined;
  int64_t num_duplicates_compared = 0;
  int64_t num_duplicates_different = 0;
  /// Prompt and generated tokens of all records, as if every variant had answered every question
  /// alone.
  int64_t variant_tokens = 0;
  double at_work_s = 0;  ///< when at least one rank was
};

/// Fills idle_s. `starts` are the starts of the run in the units' time; a unit belongs to the last
/// one before it.
void fill_idle(std::vector<UnitAudit>& units, const std::vector<double>& starts);
/// How long at least one of the units was at work.
double seconds_at_work(const std::vector<UnitAudit>& units);

/// Writes `path` whole: to a temporary name in the same folder, closed, fsynced, read back,
/// renamed, the folder fsynced. A reader sees the old file or the new one. `state` is "complete"
/// when no record is missing, else "partial". Throws Error (kDisk) naming the path; the temporary
/// file is removed then.
void write_archive(
    const std::filesystem::path& path,
    const Plan& plan,
    const RecordTable& records,
    const Provenance& provenance,
    const Audit& audit);

/// "multiple-choice" or "generation": attribute `kind` of a benchmark's group. On disk: never
/// rename.
std::string_view kind_name(BenchmarkKind kind);

/// One path of the format, a row of results/FORMAT.md. Of a benchmark's paths the name is its kind.
struct FormatEntry {
  std::string path;     ///< `/benchmarks/<multiple-choice>/loglik`; an attribute is `/audit/@NAME`
  std::string type;     ///< `float32`, `uint8`, `UTF-8 string`
  std::string shape;    ///< `[variant, question, choice]`: names of dimension scales; `scalar`
  std::string units;    ///< of a data set; "1" for a number without one
  std::string meaning;  ///< of a data set: its attribute `description`
  std::string labels;   ///< `0=wrong 1=correct`, of an enumeration
};
/// The whole format, for its writer and for the test that compares it with results/FORMAT.md.
std::vector<FormatEntry> format_entries();

}  // namespace prune_sweep
