#include "prune_sweep/inputs/local_paths.hpp"

#include <algorithm>
#include <cstdlib>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

constexpr const char* kVariable = "PRUNE_SWEEP_PATHS";

/// Without `.`, `..` and a slash at the end.
fs::path tidy(std::string_view text) {
  fs::path path = fs::path(text).lexically_normal();
  return path.has_filename() || !path.has_relative_path() ? path : path.parent_path();
}

}  // namespace

LocalPaths::LocalPaths(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(':'), text.size());
    const std::string_view pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    const fs::path from = tidy(pair.substr(0, equals));
    const fs::path to = tidy(pair.substr(std::min(equals + 1, pair.size())));
    if (!from.is_absolute() || !to.is_absolute()) {
      bad_input(
          std::string(kVariable) + ": '" + printable(pair) + "'",
          "is not FROM=TO with absolute paths",
          "Separate several by colons.");
    }
    pairs_.push_back({from, to});
  }
}

fs::path LocalPaths::of(const fs::path& path) const {
  for (const Pair& pair : pairs_) {
    const auto [rest, unmatched] =
        std::mismatch(path.begin(), path.end(), pair.from.begin(), pair.from.end());
    std::error_code ignored;
    if (unmatched != pair.from.end() || !fs::exists(pair.to, ignored)) continue;
    fs::path local = pair.to;
    for (auto part = rest; part != path.end(); ++part) local /= *part;
    return local;
  }
  return path;
}

Job on_this_host(Job job) {
  const char* text = std::getenv(kVariable);
  const LocalPaths paths(text != nullptr ? text : "");
  job.model.path = paths.of(job.model.path);
  for (BenchmarkRequest& request : job.benchmarks) request.dir = paths.of(request.dir);
  return job;
}

}  // namespace prune_sweep
