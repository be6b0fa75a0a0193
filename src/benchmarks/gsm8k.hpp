/// \file
/// GSM8K as lm-evaluation-harness asks it: task gsm8k, version 3.0.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "prune_sweep/benchmarks/benchmark.hpp"

namespace prune_sweep {

/// Reads DIR/test.jsonl and, for exemplars, DIR/train.jsonl: objects with `question` and `answer`.
std::unique_ptr<Benchmark> read_gsm8k(const BenchmarkRequest& request, const PromptStyle& style);

/// Answers and their correctness from `response`; `gold` is a normalized answer.
void score_gsm8k(std::string_view gold, Record& record);

/// The filter strict-match: group 1 of the first match of `#### (\-?[0-9\.\,]+)`, or `[invalid]`.
std::string strict_match(std::string_view response);

/// The filter flexible-extract: the last match of `(-?[$0-9.,]{2,})|(-?[0-9]+)`, or `[invalid]`.
std::string flexible_extract(std::string_view response);

/// An extracted value or a gold answer as exact_match compares it: without commas and dollar signs,
/// without everything up to the last `#### `, without a final full stop, in lower case.
std::string normalized_answer(std::string_view text);

}  // namespace prune_sweep
