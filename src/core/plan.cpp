#include "prune_sweep/core/plan.hpp"

#include <algorithm>
#include <map>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/core/grouping.hpp"
#include "prune_sweep/core/stream_tree.hpp"

namespace prune_sweep {

namespace {

/// Changes when the engine's arithmetic changes: records of another engine are other records.
constexpr std::string_view kEngineVersion = "6";

/// How much longer than others the blocks of a group may be that has fewer layer passes.
constexpr double kMostTokensMore = 2;
/// Tokens of a question block that are not in its common prefix, new ones among them. On a CPU with
/// a small model it then takes some seconds, and the prefix is a small part of it; that bounds what
/// is lost with a worker, and how long a drain takes. A GPU does a hundred times as much in the
/// time, and needs that many rows to be busy.
int64_t block_tokens(std::string_view device) { return device == "cpu" ? 4096 : 65536; }

/// A GPU has room for more work than one model gives. On a CPU it is answers that gain: a token's
/// time is that of reading the weights, and several pruned models read them once. Prompts do not,
/// and blocks of more questions share more of them.
EditedWeights edited_weights(std::string_view device, BenchmarkKind kind) {
  const bool is_apart = device == "cpu" && kind != BenchmarkKind::kGeneration;
  return is_apart ? EditedWeights::kByThemselves : EditedWeights::kSideBySide;
}

/// Largest group of variants, in passes through the whole model: four and a half make four groups
/// of 28 single drops, which cost 6 % more layer passes than one group (431 to 406) and spread over
/// the workers. Questions with choices take a GPU milliseconds, and between two units it waits for
/// some: fifteen make one group of 28 drops, and one of nine levels.
double largest_group(std::string_view device, BenchmarkKind kind) {
  return device == "cpu" || kind == BenchmarkKind::kGeneration ? 4.5 : 15;
}

std::vector<Variant> pick(const Plan& plan, const std::vector<int32_t>& indices) {
  std::vector<Variant> variants;
  for (const int32_t index : indices) variants.push_back(plan.variants[static_cast<size_t>(index)]);
  return variants;
}

double group_passes(const Plan& plan, const std::vector<int32_t>& group) {
  return count_passes(build_stream_tree(pick(plan, group), plan.shape.num_layers)).layers();
}

struct Block {
  int32_t first = 0;
  int32_t count = 0;
};

/// Blocks of about equal work: a group of few layer passes takes more tokens at once.
std::vector<Block> cut_blocks(const BenchmarkPlan& benchmark, int64_t largest, double group_share) {
  const bool generates = benchmark.kind == BenchmarkKind::kGeneration;
  const auto limit = static_cast<int64_t>(
      static_cast<double>(largest) / std::clamp(group_share, 1 / kMostTokensMore, 1.0));
  std::vector<Block> blocks;
  int64_t tokens = 0;
  for (int32_t i = 0; i < static_cast<int32_t>(benchmark.questions.size()); ++i) {
    const QuestionInfo& question = benchmark.questions[static_cast<size_t>(i)];
    const int64_t own = question.prompt_tokens - question.common_tokens +
                        (generates ? benchmark.max_new_tokens : 0);
    const bool same_subject =
        i > 0 && benchmark.questions[static_cast<size_t>(i) - 1].subject == question.subject;
    if (!same_subject || tokens + own > limit) {
      blocks.push_back({i, 0});
      tokens = 0;
    }
    ++blocks.back().count;
    tokens += own;
  }
  return blocks;
}

/// Tokens and (query, key) pairs of a block's prompts.
struct PromptWork {
  int64_t tokens = 0;
  int64_t pairs = 0;
};

int64_t causal_pairs(int64_t tokens) { return tokens * (tokens + 1) / 2; }

PromptWork prompt_work(const BenchmarkPlan& benchmark, Block block, Sharing sharing) {
  const auto first = benchmark.questions.begin() + block.first;
  const auto last = first + block.count;
  // The prefix common to all is the smallest of those common to neighbours.
  int64_t prefix = 0;
  if (sharing == Sharing::kAll && block.count > 1) {
    prefix = std::min_element(first + 1, last, [](const auto& a, const auto& b) {
               return a.common_tokens < b.common_tokens;
             })->common_tokens;
  }
  PromptWork work{prefix, causal_pairs(prefix)};
  for (auto question = first; question != last; ++question) {
    const int64_t own = question->prompt_tokens - prefix;
    work.tokens += own;
    work.pairs += own * prefix + causal_pairs(own);
  }
  return work;
}

double layers_flops(const ModelShape& shape, LayerPasses passes, PromptWork work) {
  const double parameters = static_cast<double>(
      passes.attention * shape.attention_parameters + passes.mlp * shape.mlp_parameters);
  return 2 * parameters * static_cast<double>(work.tokens) +
         static_cast<double>(passes.attention) *
             static_cast<double>(shape.attention_flops_per_pair) * static_cast<double>(work.pairs);
}

/// Decoding shares no FLOPs: texts differ as soon as variants do. Half of the longest answer is
/// expected.
double decode_flops(
    const Plan& plan, const BenchmarkPlan& benchmark, LayerPasses passes, Block block) {
  const int64_t tokens = static_cast<int64_t>(block.count) * benchmark.max_new_tokens / 2;
  int64_t pairs = 0;
  for (int32_t i = block.first; i < block.first + block.count; ++i) {
    pairs += benchmark.questions[static_cast<size_t>(i)].prompt_tokens *
             static_cast<int64_t>(benchmark.max_new_tokens) / 2;
  }
  return layers_flops(plan.shape, passes, {tokens, pairs}) +
         2 * static_cast<double>(plan.shape.head_parameters) * static_cast<double>(tokens);
}

}  // namespace

int64_t Plan::num_records() const {
  int64_t questions = 0;
  for (const BenchmarkPlan& benchmark : benchmarks) {
    questions += static_cast<int64_t>(benchmark.questions.size());
  }
  return questions * static_cast<int64_t>(variants.size());
}

Plan make_plan(
    PlanContext context,
    ModelShape shape,
    std::vector<Variant> variants,
    std::vector<BenchmarkPlan> benchmarks,
    int32_t num_groups) {
  Plan plan{std::move(context), shape, std::move(variants), std::move(benchmarks), {}, {}};
  const std::string& device = plan.context.device;
  const int64_t tokens = block_tokens(device);
  std::map<BenchmarkKind, std::vector<std::vector<int32_t>>> groups;
  for (size_t b = 0; b < plan.benchmarks.size(); ++b) {
    const BenchmarkKind kind = plan.benchmarks[b].kind;
    const double largest = largest_group(device, kind) * shape.num_layers;
    if (!groups.contains(kind)) {
      groups[kind] = group_variants(
          plan.variants,
          shape.num_layers,
          edited_weights(device, kind),
          static_cast<int64_t>(2 * largest),
          num_groups);
    }
    for (const std::vector<int32_t>& group : groups[kind]) {
      const double share = group_passes(plan, group) / largest;
      for (const Block block : cut_blocks(plan.benchmarks[b], tokens, share)) {
        Unit unit{static_cast<int32_t>(b), group, block.first, block.count, 0};
        unit.flops = unit_flops(plan, unit, Sharing::kAll);
        plan.units.push_back(std::move(unit));
      }
    }
  }
  return plan;
}

double unit_flops(const Plan& plan, const Unit& unit, Sharing sharing) {
  const BenchmarkPlan& benchmark = plan.benchmarks[static_cast<size_t>(unit.benchmark)];
  const Block block{unit.first_question, unit.num_questions};
  const std::vector<Variant> variants = pick(plan, unit.variants);
  LayerPasses alone;
  for (const Variant& variant : variants) {
    const LayerPasses passes = count_passes_alone(variant, plan.shape.num_layers);
    alone.attention += passes.attention;
    alone.mlp += passes.mlp;
  }
  const LayerPasses passes = sharing == Sharing::kAll
                                 ? count_passes(build_stream_tree(variants, plan.shape.num_layers))
                                 : alone;
  double flops = layers_flops(plan.shape, passes, prompt_work(benchmark, block, sharing));
  flops += 2 * static_cast<double>(plan.shape.head_parameters) * unit.num_questions *
           static_cast<double>(variants.size());
  if (benchmark.kind == BenchmarkKind::kGeneration) {
    flops += decode_flops(plan, benchmark, alone, block);
  }
  return flops;
}

PlanCost plan_cost(const Plan& plan) {
  PlanCost cost;
  // Benchmarks may group variants differently, so what a question costs is an average.
  std::map<std::vector<int32_t>, double> passes_of_group;
  for (const Unit& unit : plan.units) {
    const auto [group, is_new] = passes_of_group.try_emplace(unit.variants);
    if (is_new) group->second = group_passes(plan, unit.variants);
    cost.layer_passes += group->second * unit.num_questions;
  }
  for (const Variant& variant : plan.variants) {
    cost.layer_passes_alone += count_passes_alone(variant, plan.shape.num_layers).layers();
  }
  int64_t shared_tokens = 0;  // of all variants
  for (const Unit& unit : plan.units) {
    const BenchmarkPlan& benchmark = plan.benchmarks[static_cast<size_t>(unit.benchmark)];
    const Block block{unit.first_question, unit.num_questions};
    shared_tokens +=
        prompt_work(benchmark, block, Sharing::kAll).tokens * std::ssize(unit.variants);
  }
  if (!plan.variants.empty()) cost.shared_prompt_tokens = shared_tokens / std::ssize(plan.variants);
  int64_t num_questions = 0;
  for (const BenchmarkPlan& benchmark : plan.benchmarks) {
    num_questions += std::ssize(benchmark.questions);
    for (const QuestionInfo& question : benchmark.questions) {
      cost.prompt_tokens += question.prompt_tokens;
    }
  }
  if (num_questions > 0) cost.layer_passes /= static_cast<double>(num_questions);
  for (const Unit& unit : plan.units) {
    cost.flops += unit_flops(plan, unit, Sharing::kAll);
    cost.flops_alone += unit_flops(plan, unit, Sharing::kNone);
  }
  return cost;
}

std::vector<std::vector<std::string>> variant_keys(const Plan& plan) {
  std::vector<std::vector<std::string>> keys;
  for (const Variant& variant : plan.variants) {
    keys.emplace_back();
    for (const BenchmarkPlan& benchmark : plan.benchmarks) {
      keys.back().push_back(Sha256()
                                .field(kEngineVersion)
                                .field(plan.context.model_sha256)
                                .field(plan.context.tokenizer_sha256)
                                .field(name(plan.context.dtype))
                                .field(plan.context.device)
                                .field(computed_text(variant))
                                .field(benchmark.name)
                                .field(benchmark.rules)
                                .field(std::to_string(benchmark.max_new_tokens))
                                .hex());
    }
  }
  return keys;
}

std::string question_ids_sha256(const BenchmarkPlan& benchmark) {
  std::string ids;
  for (const QuestionInfo& question : benchmark.questions) {
    ids += question.subject + "/" + std::to_string(question.doc_id) + "\n";
  }
  return sha256_hex(ids);
}

std::string question_key(const BenchmarkPlan& benchmark, const QuestionInfo& question) {
  return Sha256()
      .field(benchmark.name)
      .field(question.subject)
      .field(std::to_string(question.doc_id))
      .field(question.gold)
      .field(question.prompt_sha256)
      .field(question.solution_sha256)
      .hex();
}

VariantSize variant_size(const Plan& plan, const Variant& variant) {
  const ModelShape& shape = plan.shape;
  const int64_t layer_parameters = shape.attention_parameters + shape.mlp_parameters;
  VariantSize size;
  int64_t block_weights = 0;
  int64_t zeroed = 0;
  for (const Edit& edit : variant.edits) {
    if (edit.is_identity()) continue;
    const EditEffect effect = info(edit.kind).effect;
    const int64_t dropped = (effect.keeps_attention ? 0 : shape.attention_parameters) +
                            (effect.keeps_mlp ? 0 : shape.mlp_parameters);
    const bool whole_layer = !effect.keeps_attention && !effect.keeps_mlp;
    size.num_parameters_removed += dropped + (whole_layer ? shape.layer_other_parameters : 0);
    block_weights += dropped;
    if (edit.kind == EditKind::kMagnitude) zeroed += edit.amount.of(layer_parameters);
  }
  size.sparsity_blocks = static_cast<double>(block_weights + zeroed) /
                         static_cast<double>(layer_parameters * shape.num_layers);
  size.sparsity_model = static_cast<double>(size.num_parameters_removed + zeroed) /
                        static_cast<double>(shape.num_parameters);
  return size;
}

std::string plan_sha256(const Plan& plan) { return sha256_hex(plan_to_json(plan)); }

}  // namespace prune_sweep
