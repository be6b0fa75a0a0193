/// \file
/// Where a job's model and data lie on this host, when that is not where they lie on others.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/core/job.hpp"

namespace prune_sweep {

/// `FROM=TO[:FROM=TO ...]`: what a job has under FROM is taken from TO on hosts where TO is there.
/// The first pair that fits counts, so that one text serves hosts of several kinds.
class LocalPaths {
 public:
  /// Throws Error (kBadInput) naming the variable PRUNE_SWEEP_PATHS, which is where it comes from.
  explicit LocalPaths(std::string_view text);

  std::filesystem::path of(const std::filesystem::path& path) const;

 private:
  struct Pair {
    std::filesystem::path from;
    std::filesystem::path to;
  };
  std::vector<Pair> pairs_;
};

/// The job with its input paths as PRUNE_SWEEP_PATHS says. That they hold the same as on other
/// hosts is for digests to say.
Job on_this_host(Job job);

}  // namespace prune_sweep
