/// \file
/// What a job refers to, read and checked: model directory, tokenizer, questions. Torch-free, so
/// that everything wrong with them is found before any work starts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "prune_sweep/benchmarks/benchmark.hpp"
#include "prune_sweep/core/job.hpp"
#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/inputs/weights_digest.hpp"
#include "prune_sweep/model/model_config.hpp"
#include "prune_sweep/text/tokenizer.hpp"

namespace prune_sweep {

/// The keys that the known benchmarks give job files.
std::vector<BenchmarkKeys> benchmark_keys();

/// A job with its small files in memory; its weights are only looked through.
struct Inputs {
  Job job;
  ModelConfig config;
  Tokenizer tokenizer;
  std::vector<std::unique_ptr<Benchmark>> benchmarks;  // as in job.benchmarks
  std::unique_ptr<WeightsDigest> weights;
};

/// Throws Error (kBadInput) naming the file for whatever cannot be used; of the weights, the one
/// who asks for their digest is told.
Inputs read_inputs(Job job, WeightsCheck weights = WeightsCheck::kNone);

/// The device that evaluators will use here: "cpu" or "cuda". Throws Error (kBadInput) for cuda
/// without a device, naming `where` it was asked for.
std::string resolve_device(DeviceKind asked, const std::string& where);

/// Expands the job, once the weights are looked through. Every prompt is built and tokenized; none
/// may be longer than the model's positions. `num_groups`: see make_plan().
Plan plan_of(const Inputs& inputs, int32_t num_groups = 0);

/// Tokens of `continuation` after `context`, which has `context_len` tokens: those that the whole
/// text has beyond the context's. As lm-evaluation-harness does, both are tokenized together.
std::vector<int32_t> continuation_ids(
    const Tokenizer& tokenizer,
    const std::string& context,
    size_t context_len,
    const std::string& continuation);

/// The tokens that end an answer: of generation_config.json, which no digest of the model covers.
std::string end_ids_text(const ModelConfig& config);

/// Identifies the selected questions of all benchmarks: equal where two hosts have the same data.
std::string questions_digest(const std::vector<std::unique_ptr<Benchmark>>& benchmarks);

}  // namespace prune_sweep
