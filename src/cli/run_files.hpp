/// \file
/// The files of a run that several commands read or make.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/sweep/history.hpp"
#include "prune_sweep/sweep/run_dir.hpp"

namespace prune_sweep {

/// Throws Error (kBadInput) naming the file.
Plan read_plan(const RunDir& run);

/// Index of the element of this name. Throws Error (kBadInput) naming the `option` and listing the
/// known names.
template <typename Named>
int32_t index_of(
    const std::vector<Named>& list, const std::string& name, const std::string& option) {
  std::vector<std::string> names;
  for (const Named& element : list) names.push_back(element.name);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    bad_input(option + "=" + printable(name), "is not in the run", "Known: " + listed(names) + ".");
  }
  return static_cast<int32_t>(found - names.begin());
}

/// archive.h5 from what the journals say. Throws Error (kDisk).
void write_archive_of(const RunDir& run, const Plan& plan, const History& history);

}  // namespace prune_sweep
