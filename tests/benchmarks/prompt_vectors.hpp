/// \file
/// The prompts that lm-evaluation-harness makes from the first 10 % of the questions, as digests,
/// with the token ids of Qwen3-0.6B's tokenizer.
#pragma once

#include "catch.hpp"
#include "prune_sweep/benchmarks/benchmark.hpp"
#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/text/tokenizer.hpp"
#include "reference_values.hpp"

inline const std::string kDataDir = PRUNE_SWEEP_DATA_DIR;

/// A request for a benchmark of the test data.
inline prune_sweep::BenchmarkRequest request_for(const std::string& name) {
  prune_sweep::BenchmarkRequest request;
  request.name = name;
  request.dir = kDataDir + "/" + name;
  return request;
}

inline std::unique_ptr<prune_sweep::Benchmark> read_benchmark(
    const prune_sweep::BenchmarkRequest& request) {
  return prune_sweep::benchmark_info(request.name).read(request, {request.chat, {}});
}

/// The vectors whose task begins with `task`, in order.
inline std::vector<nlohmann::json> prompt_vectors(const std::string& task) {
  std::vector<nlohmann::json> vectors;
  const auto lines = prune_sweep::read_json_lines(kDataDir + "/vectors/prompt-tokens.jsonl");
  for (const prune_sweep::JsonLine& line : lines) {
    if (line.object["task"].get<std::string>().starts_with(task)) vectors.push_back(line.object);
  }
  return vectors;
}

inline void check_prompt(
    const prune_sweep::Tokenizer& tokenizer,
    const prune_sweep::Question& question,
    const nlohmann::json& vector) {
  CAPTURE(vector["task"], vector["doc_id"]);
  CHECK(question.doc_id == vector["doc_id"].get<int32_t>());
  CHECK(prune_sweep::sha256_hex(question.prompt) == vector["prompt_sha256"].get<std::string>());
  const std::vector<int32_t> ids = tokenizer.encode(question.prompt);
  CHECK(ids.size() == vector["n_tokens"].get<size_t>());
  std::string text;
  for (const int32_t id : ids) text += (text.empty() ? "" : " ") + std::to_string(id);
  CHECK(prune_sweep::sha256_hex(text) == vector["ids_sha256"].get<std::string>());
}
