/// \file
/// An archive read back and checked: what `verify` looks at.
#pragma once

#include <filesystem>
#include <string>

#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/core/record_table.hpp"

namespace prune_sweep {

struct ArchiveContent {
  std::string sha256;  ///< of the file without its seal
  std::string state;   ///< "complete" or "partial"
  std::string plan_sha256;
  size_t num_data_sets = 0;  ///< whose type, shape and dimension scales are those of the format
  Plan plan;                 ///< variants and benchmarks; no units, no costs
  RecordTable records;
};

/// Reads an archive whose seal fits. Throws Error (kBadInput) naming the file and what in it is
/// not as the format says: a seal that does not fit, another major version, a path that is missing
/// or has another type, shape or scale, a record that is neither whole nor missing, a state that
/// the records contradict.
ArchiveContent read_archive(const std::filesystem::path& path);

}  // namespace prune_sweep
