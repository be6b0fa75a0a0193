/// \file
/// The lines that lm-evaluation-harness writes with --log_samples, as CPython's json and str print
/// them. Source: lm_eval 0.4.13, evaluator.py (the fields) and loggers/evaluation_tracker.py (their
/// form).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "prune_sweep/benchmarks/benchmark.hpp"

namespace prune_sweep {

/// `str(value)` in Python.
std::string python_float(double value);

/// `json.dumps(value, ensure_ascii=False)`: compact but for a space after commas and colons.
std::string python_json(const nlohmann::ordered_json& value);

/// What differs between the samples of two tasks.
struct HarnessSample {
  std::vector<nlohmann::ordered_json>
      requests;                      ///< second argument of each request; the first is the prompt
  nlohmann::ordered_json responses;  ///< as they are logged: texts only
  nlohmann::ordered_json filtered_responses;
  std::string filter;
  std::string metric;
  double value = 0;
};

/// One line, without its line feed.
std::string harness_sample_line(const Question& question, const HarnessSample& sample);

}  // namespace prune_sweep
