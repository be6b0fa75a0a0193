/// \file
/// MMLU as lm-evaluation-harness asks it: task mmlu_<subject>, version 1.0, in group mmlu,
/// version 2.
#pragma once

#include <memory>
#include <string_view>

#include "prune_sweep/benchmarks/benchmark.hpp"

namespace prune_sweep {

/// Reads DIR/test/<subject>_test.csv and, for exemplars, DIR/dev/<subject>_dev.csv, in one of two
/// forms, which each file's first row tells: the column names
/// `question,choice0,choice1,choice2,choice3,answer` and then rows with an answer of 0..3 (the
/// hub's export); or rows at once, with an answer of A..D (the authors' tarball).
std::unique_ptr<Benchmark> read_mmlu(const BenchmarkRequest& request, const PromptStyle& style);

/// `correct` from `loglik`; `gold` is the index of the right choice.
void score_mmlu(std::string_view gold, Record& record);

}  // namespace prune_sweep
