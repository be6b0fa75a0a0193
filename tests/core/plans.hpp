/// \file
/// Plans to test with: real shapes, made-up questions.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/core/plan.hpp"

namespace prune_sweep {

/// Qwen3-0.6B: hidden 1024, 16 heads and 8 KV heads of 128, MLP 3072, vocabulary 151,936, tied
/// head.
inline ModelShape qwen3_shape() {
  return {
      .num_layers = 28,
      .num_parameters = 596'049'920,
      .attention_parameters = 2 * 1024 * 2048 + 2 * 1024 * 1024,
      .mlp_parameters = 3 * 1024 * 3072,
      .layer_other_parameters = 2 * 1024 + 2 * 128,
      .attention_flops_per_pair = 4 * 16 * 128,
      .head_parameters = 151'936 * 1024};
}

inline ModelShape small_shape(int32_t num_layers) {
  return {num_layers, 100'000, 400, 600, 10, 32, 5'000};
}

inline PlanContext some_context() { return {"model", "tokenizer", DType::kBfloat16, "cpu"}; }

inline std::vector<Variant> variants_of(
    const std::vector<std::pair<std::string, std::string>>& names_and_edits, int32_t num_layers) {
  std::vector<Variant> variants;
  for (const auto& [name, edits] : names_and_edits) {
    variants.push_back({name, parse_edits(edits, num_layers, MagnitudeScope::kTensor, name)});
  }
  return variants;
}

inline std::vector<Variant> single_drops(int32_t num_layers) {
  std::vector<Variant> variants{{"baseline", {}}};
  for (int32_t layer = 0; layer < num_layers; ++layer) {
    variants.push_back({drop_name(layer), {{.layer = layer, .kind = EditKind::kDrop}}});
  }
  return variants;
}

inline Variant pruned(int32_t num_layers, int64_t percent) {
  const Percent amount{percent * 1'000'000};
  Variant variant{magnitude_name(amount), {}};
  for (int32_t layer = 0; layer < num_layers; ++layer) {
    variant.edits.push_back({layer, EditKind::kMagnitude, amount});
  }
  return variant;
}

inline QuestionInfo some_question(
    const std::string& subject, int32_t doc_id, int32_t prompt_tokens, int32_t common_tokens) {
  return {
      subject,
      doc_id,
      std::to_string(doc_id % 4),
      sha256_hex(subject + "/" + std::to_string(doc_id)),
      prompt_tokens,
      common_tokens};
}

/// `subjects`: how many questions each has. Prompts share all but their last `own_tokens`.
inline BenchmarkPlan choice_benchmark(
    const std::string& name,
    const std::vector<int32_t>& subjects,
    int32_t prefix,
    int32_t own_tokens) {
  BenchmarkPlan benchmark{name, BenchmarkKind::kMultipleChoice, 4, 0, 5, "rules of " + name, {}};
  for (size_t subject = 0; subject < subjects.size(); ++subject) {
    for (int32_t i = 0; i < subjects[subject]; ++i) {
      benchmark.questions.push_back(some_question(
          "subject" + std::to_string(subject),
          i,
          prefix + own_tokens + i % 7,
          i == 0 ? 0 : prefix));
    }
  }
  return benchmark;
}

inline BenchmarkPlan generation_benchmark(
    const std::string& name, int32_t num_questions, int32_t prompt_tokens, int32_t max_new_tokens) {
  BenchmarkPlan benchmark{
      name, BenchmarkKind::kGeneration, 0, max_new_tokens, 5, "rules of " + name, {}};
  for (int32_t i = 0; i < num_questions; ++i) {
    benchmark.questions.push_back(some_question("", i, prompt_tokens + i % 11, i == 0 ? 0 : 9));
  }
  return benchmark;
}

}  // namespace prune_sweep
