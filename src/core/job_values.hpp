/// \file
/// A job file and its overrides as texts by key. Here is which keys there are.
#pragma once

#include <boost/program_options.hpp>
#include <string>
#include <vector>

#include "prune_sweep/core/job.hpp"

namespace prune_sweep {

inline constexpr const char* kVariantKey = "sweep.variant";

class JobValues {
 public:
  /// `source` names the file in messages, `overrides` are `--section.key=value`. Throws Error
  /// (kBadInput) for an unknown key and for what is no INI file.
  JobValues(
      const std::string& text,
      std::string source,
      const std::vector<std::string>& overrides,
      const std::vector<BenchmarkKeys>& known);

  /// Precondition: a key that is there once.
  const std::string& text(const std::string& key) const { return values_[key].as<std::string>(); }
  /// Of a key that may be there more than once.
  std::vector<std::string> lines(const std::string& key) const;

  /// `jobs/x.ini: sweep.magnitude=140`, the beginning of a message.
  std::string where(const std::string& key) const;
  const std::string& source() const { return source_; }

 private:
  std::string source_;
  boost::program_options::variables_map values_;
};

}  // namespace prune_sweep
