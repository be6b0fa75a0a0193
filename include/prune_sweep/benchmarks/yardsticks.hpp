/// \file
/// What published evaluations of known models lead to expect of the baseline.
#pragma once

#include <optional>
#include <string_view>

#include "prune_sweep/core/plan.hpp"

namespace prune_sweep {

/// The headline score expected of a model on a benchmark.
struct Yardstick {
  std::string_view model;
  std::string_view benchmark;
  double low = 0;
  double high = 1;
  std::string_view source;
};

/// The yardstick for the model of this digest (Checkpoint::sha256), if it is a known one and asked
/// as the published evaluations were: 5 shots, no chat template, 256 new tokens.
std::optional<Yardstick> find_yardstick(
    std::string_view model_sha256, const BenchmarkPlan& benchmark);

}  // namespace prune_sweep
