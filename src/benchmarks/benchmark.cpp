#include "prune_sweep/benchmarks/benchmark.hpp"

#include <array>

#include "benchmarks/gsm8k.hpp"
#include "benchmarks/mmlu.hpp"
#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

const std::array kBenchmarks{
    BenchmarkInfo{
        .name = "mmlu",
        .summary = "57 subjects of four-way multiple choice, by log-likelihood of the letter",
        .kind = BenchmarkKind::kMultipleChoice,
        .num_choices = 4,
        .rules = "lm-eval mmlu 1.0 (group 2)",
        .score = score_mmlu,
        .read = read_mmlu},
    BenchmarkInfo{
        .name = "gsm8k",
        .summary = "grade-school word problems, by a generated chain of thought",
        .kind = BenchmarkKind::kGeneration,
        .num_choices = 0,
        .rules = "lm-eval gsm8k 3.0",
        .score = score_gsm8k,
        .read = read_gsm8k},
};

}  // namespace

std::span<const BenchmarkInfo> benchmark_table() { return kBenchmarks; }

std::vector<std::string> benchmark_names() {
  std::vector<std::string> names;
  names.reserve(kBenchmarks.size());
  for (const BenchmarkInfo& info : kBenchmarks) names.emplace_back(info.name);
  return names;
}

const BenchmarkInfo& benchmark_info(std::string_view name) {
  for (const BenchmarkInfo& info : kBenchmarks) {
    if (info.name == name) return info;
  }
  bad_input("benchmark " + printable(name), "not known", "known are " + listed(benchmark_names()));
}

}  // namespace prune_sweep
