/// \file
/// The plan: everything a job expands to, in a fixed order. It does not depend on the number of
/// ranks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "prune_sweep/core/job.hpp"
#include "prune_sweep/core/record.hpp"
#include "prune_sweep/core/variant.hpp"

namespace prune_sweep {

/// What the cost of a model's work depends on, and what is reported of its size.
struct ModelShape {
  int32_t num_layers = 0;
  int64_t num_parameters = 0;        ///< distinct ones: a tied head counts once
  int64_t attention_parameters = 0;  ///< linear weights of one layer's attention
  int64_t mlp_parameters = 0;        ///< linear weights of one layer's MLP
  int64_t layer_other_parameters =
      0;  ///< norms and biases of one layer, attention and MLP together
  int64_t attention_flops_per_pair = 0;  ///< of one layer, per (query, key) pair
  int64_t head_parameters = 0;           ///< [vocab_size x hidden]
};

/// What the plan, the archive and the reports need to know of a question. No prompt text.
struct QuestionInfo {
  std::string subject;        ///< empty where the benchmark has none
  int32_t doc_id = 0;         ///< row in the test file
  std::string gold;           ///< index of the right choice, or the gold answer as a short text
  std::string prompt_sha256;  ///< of the UTF-8 prompt
  int32_t prompt_tokens = 0;
  int32_t common_tokens = 0;  ///< leading tokens shared with the question before it in its subject
  int32_t gold_tokens = 0;    ///< length of the gold solution (kGeneration)
  std::string solution_sha256;  ///< of the gold solution in UTF-8; empty without one
};

struct BenchmarkPlan {
  std::string name;
  BenchmarkKind kind = BenchmarkKind::kMultipleChoice;
  int32_t num_choices = 0;     ///< kMultipleChoice
  int32_t max_new_tokens = 0;  ///< kGeneration
  int32_t shots = 0;
  std::string rules;      ///< canonical text of everything else that changes an answer
  std::string selection;  ///< how the questions were chosen: Selection::text()
  std::vector<QuestionInfo> questions;
};

/// The smallest piece of work: a group of variants x one benchmark x a block of questions.
struct Unit {
  int32_t benchmark = 0;          ///< index in Plan::benchmarks
  std::vector<int32_t> variants;  ///< indices in Plan::variants
  int32_t first_question = 0;
  int32_t num_questions = 0;
  double flops = 0;  ///< estimated, with what sharing saves
};

/// Digests and settings that change what a record is.
struct PlanContext {
  std::string model_sha256;  ///< of config.json and the weights; empty when not computed
  std::string tokenizer_sha256;
  DType dtype = DType::kBfloat16;
  std::string device;  ///< "cpu" or "cuda"
};

struct Plan {
  PlanContext context;
  ModelShape shape;
  std::vector<Variant> variants;
  std::vector<BenchmarkPlan> benchmarks;
  std::vector<Unit> units;
  Gates gates;  ///< when answers are flagged

  int64_t num_records() const;
};

/// Cuts variants x questions into units of about equal work. Neighbouring variants are grouped
/// while sharing pays, those that share layers into `num_groups` groups unless it is 0; question
/// blocks never cross a subject.
Plan make_plan(
    PlanContext context,
    ModelShape shape,
    std::vector<Variant> variants,
    std::vector<BenchmarkPlan> benchmarks,
    int32_t num_groups = 0);

/// What the work costs with and without sharing, exact in sublayer passes and tokens.
struct PlanCost {
  double layer_passes = 0;           ///< of all variants, per question on average
  double layer_passes_alone = 0;     ///< every variant by itself
  int64_t prompt_tokens = 0;         ///< of one variant, every prompt whole
  int64_t shared_prompt_tokens = 0;  ///< of one variant on average, common prefixes once per unit
  double flops = 0;
  double flops_alone = 0;
};
PlanCost plan_cost(const Plan& plan);

/// Estimated FLOPs of a unit's variants and questions, with (or without) fork and prefix sharing.
enum class Sharing : uint8_t { kAll, kNone };
double unit_flops(const Plan& plan, const Unit& unit, Sharing sharing);

/// Key of everything but the question that can change a record: [variants][benchmarks], SHA-256
/// hex. Equal keys give equal records, in whatever plan they stand.
std::vector<std::vector<std::string>> variant_keys(const Plan& plan);
/// SHA-256 of the questions' names, one line `SUBJECT/DOC_ID` each: equal where the same questions
/// were asked, however they were chosen.
std::string question_ids_sha256(const BenchmarkPlan& benchmark);
/// Key of a question within its benchmark, SHA-256 hex.
std::string question_key(const BenchmarkPlan& benchmark, const QuestionInfo& question);

/// Number of parameters a variant removes, and its sparsity over the blocks' linear weights and
/// over the model.
struct VariantSize {
  int64_t num_parameters_removed = 0;  ///< by dropped sublayers
  double sparsity_blocks = 0;  ///< share of the blocks' linear weights that is removed or zeroed
  double sparsity_model = 0;   ///< share of all parameters that is removed or zeroed
};
VariantSize variant_size(const Plan& plan, const Variant& variant);

/// plan.json and back. The text is canonical: equal plans have equal texts.
std::string plan_to_json(const Plan& plan);
Plan plan_from_json(const std::string& text, const std::string& source);
/// SHA-256 of plan_to_json.
std::string plan_sha256(const Plan& plan);

}  // namespace prune_sweep
