#include <algorithm>
#include <nlohmann/json.hpp>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/plan.hpp"

namespace prune_sweep {

namespace {

using Json = nlohmann::ordered_json;

/// Far more than any model has; bounds what a damaged file can make the edits of a variant.
constexpr int32_t kMaxLayers = 100'000;

Json to_json(const ModelShape& shape) {
  return {
      {"num_layers", shape.num_layers},
      {"num_parameters", shape.num_parameters},
      {"attention_parameters", shape.attention_parameters},
      {"mlp_parameters", shape.mlp_parameters},
      {"layer_other_parameters", shape.layer_other_parameters},
      {"attention_flops_per_pair", shape.attention_flops_per_pair},
      {"head_parameters", shape.head_parameters}};
}

ModelShape shape_from(const Json& json, const std::string& source) {
  ModelShape shape;
  json.at("num_layers").get_to(shape.num_layers);
  if (shape.num_layers < 0 || shape.num_layers > kMaxLayers) {
    bad_input(source + ": num_layers=" + std::to_string(shape.num_layers), "out of range");
  }
  json.at("num_parameters").get_to(shape.num_parameters);
  json.at("attention_parameters").get_to(shape.attention_parameters);
  json.at("mlp_parameters").get_to(shape.mlp_parameters);
  json.at("layer_other_parameters").get_to(shape.layer_other_parameters);
  json.at("attention_flops_per_pair").get_to(shape.attention_flops_per_pair);
  json.at("head_parameters").get_to(shape.head_parameters);
  return shape;
}

Json to_json(const BenchmarkPlan& benchmark) {
  Json questions = Json::array();
  for (const QuestionInfo& question : benchmark.questions) {
    questions.push_back(
        {question.subject,
         question.doc_id,
         question.gold,
         question.prompt_sha256,
         question.prompt_tokens,
         question.common_tokens,
         question.gold_tokens,
         question.solution_sha256});
  }
  return {
      {"name", benchmark.name},
      {"kind", static_cast<int>(benchmark.kind)},
      {"num_choices", benchmark.num_choices},
      {"max_new_tokens", benchmark.max_new_tokens},
      {"shots", benchmark.shots},
      {"rules", benchmark.rules},
      {"selection", benchmark.selection},
      {"question_ids_sha256", question_ids_sha256(benchmark)},
      {"question_fields",
       {"subject",
        "doc_id",
        "gold",
        "prompt_sha256",
        "prompt_tokens",
        "common_tokens",
        "gold_tokens",
        "solution_sha256"}},
      {"questions", std::move(questions)}};
}

BenchmarkPlan benchmark_from(const Json& json, const std::string& source) {
  BenchmarkPlan benchmark;
  json.at("name").get_to(benchmark.name);
  const int kind = json.at("kind").get<int>();
  if (kind != 0 && kind != 1) {
    bad_input(source + ": kind=" + std::to_string(kind), "no kind of benchmark");
  }
  benchmark.kind = static_cast<BenchmarkKind>(kind);
  json.at("num_choices").get_to(benchmark.num_choices);
  json.at("max_new_tokens").get_to(benchmark.max_new_tokens);
  json.at("shots").get_to(benchmark.shots);
  json.at("rules").get_to(benchmark.rules);
  json.at("selection").get_to(benchmark.selection);
  for (const Json& row : json.at("questions")) {
    QuestionInfo& question = benchmark.questions.emplace_back();
    row.at(0).get_to(question.subject);
    row.at(1).get_to(question.doc_id);
    row.at(2).get_to(question.gold);
    row.at(3).get_to(question.prompt_sha256);
    row.at(4).get_to(question.prompt_tokens);
    row.at(5).get_to(question.common_tokens);
    row.at(6).get_to(question.gold_tokens);
    row.at(7).get_to(question.solution_sha256);
  }
  return benchmark;
}

Json to_json(const Unit& unit) {
  return {
      {"benchmark", unit.benchmark},
      {"variants", unit.variants},
      {"first_question", unit.first_question},
      {"num_questions", unit.num_questions},
      {"flops", unit.flops}};
}

Unit unit_from(const Json& json) {
  Unit unit;
  json.at("benchmark").get_to(unit.benchmark);
  json.at("variants").get_to(unit.variants);
  json.at("first_question").get_to(unit.first_question);
  json.at("num_questions").get_to(unit.num_questions);
  json.at("flops").get_to(unit.flops);
  return unit;
}

/// Whether a unit stays inside its plan, so that its indices can be used unchecked.
bool is_sound(const Plan& plan, const Unit& unit) {
  const auto is_variant = [&plan](int32_t variant) {
    return variant >= 0 && variant < std::ssize(plan.variants);
  };
  return unit.benchmark >= 0 && unit.benchmark < std::ssize(plan.benchmarks) &&
         !unit.variants.empty() &&
         std::all_of(unit.variants.begin(), unit.variants.end(), is_variant) &&
         unit.first_question >= 0 && unit.num_questions > 0 && unit.flops >= 0 &&
         int64_t{unit.first_question} + unit.num_questions <=
             std::ssize(plan.benchmarks[static_cast<size_t>(unit.benchmark)].questions);
}

Plan plan_from(const Json& json, const std::string& source) {
  Plan plan;
  const Json& context = json.at("context");
  context.at("model_sha256").get_to(plan.context.model_sha256);
  context.at("tokenizer_sha256").get_to(plan.context.tokenizer_sha256);
  plan.context.dtype = parse_dtype(context.at("dtype").get<std::string>(), source + ": dtype");
  context.at("device").get_to(plan.context.device);
  plan.shape = shape_from(json.at("shape"), source);
  const Json& gates = json.at("gates");
  gates.at("max_invalid").get_to(plan.gates.max_invalid);
  gates.at("max_truncated").get_to(plan.gates.max_truncated);
  gates.at("max_one_choice").get_to(plan.gates.max_one_choice);
  for (const Json& row : json.at("variants")) {
    plan.variants.push_back(
        {row.at("name").get<std::string>(),
         parse_edits(
             row.at("edits").get<std::string>(),
             plan.shape.num_layers,
             MagnitudeScope::kTensor,
             source),
         row.value("repeat", 0)});
  }
  for (const Json& row : json.at("benchmarks")) {
    plan.benchmarks.push_back(benchmark_from(row, source));
  }
  for (const Json& row : json.at("units")) {
    plan.units.push_back(unit_from(row));
    if (!is_sound(plan, plan.units.back())) {
      bad_input(
          source + ": unit " + std::to_string(plan.units.size() - 1),
          "names variants or questions that the plan does not have");
    }
  }
  return plan;
}

}  // namespace

std::string plan_to_json(const Plan& plan) {
  Json variants = Json::array();
  for (const Variant& variant : plan.variants) {
    variants.push_back({{"name", variant.name}, {"edits", edits_text(variant.edits)}});
    if (variant.repeat > 0) variants.back()["repeat"] = variant.repeat;
  }
  Json benchmarks = Json::array();
  for (const BenchmarkPlan& benchmark : plan.benchmarks) benchmarks.push_back(to_json(benchmark));
  Json units = Json::array();
  for (const Unit& unit : plan.units) units.push_back(to_json(unit));
  const Json json{
      {"context",
       {{"model_sha256", plan.context.model_sha256},
        {"tokenizer_sha256", plan.context.tokenizer_sha256},
        {"dtype", name(plan.context.dtype)},
        {"device", plan.context.device}}},
      {"shape", to_json(plan.shape)},
      {"gates",
       {{"max_invalid", plan.gates.max_invalid},
        {"max_truncated", plan.gates.max_truncated},
        {"max_one_choice", plan.gates.max_one_choice}}},
      {"variants", std::move(variants)},
      {"benchmarks", std::move(benchmarks)},
      {"units", std::move(units)}};
  return json.dump(1);
}

Plan plan_from_json(const std::string& text, const std::string& source) {
  try {
    return plan_from(Json::parse(text), source);
  } catch (const nlohmann::json::exception& error) {
    bad_input(source + ": not a plan", printable(error.what(), 200));
  }
}

}  // namespace prune_sweep
