#include "prune_sweep/core/plan.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "core/message_of.hpp"
#include "core/plans.hpp"

using namespace prune_sweep;

namespace {

using Json = nlohmann::ordered_json;

Plan qwen3_plan(std::vector<Variant> variants) {
  return make_plan(
      some_context(),
      qwen3_shape(),
      std::move(variants),
      {choice_benchmark("mmlu", {10, 14, 16, 1, 154}, 600, 90),
       generation_benchmark("gsm8k", 132, 800, 256)});
}

std::vector<Variant> published_sweep() {
  auto variants = single_drops(28);
  for (int64_t percent = 0; percent < 100; percent += 10) variants.push_back(pruned(28, percent));
  return variants;
}

Plan random_plan(std::mt19937& random) {
  const auto num_layers = static_cast<int32_t>(1 + random() % 8);
  std::vector<Variant> variants{{"baseline", {}}};
  const size_t num_variants = 1 + random() % 20;
  for (size_t i = 1; i < num_variants; ++i) {
    Variant variant{"v" + std::to_string(i), {}};
    for (int32_t layer = 0; layer < num_layers; ++layer) {
      if (random() % 4 != 0) continue;
      Edit edit{.layer = layer, .kind = static_cast<EditKind>(random() % 4)};
      if (edit.kind == EditKind::kMagnitude) edit.amount.millionths = random() % 2 * 10'000'000;
      variant.edits.push_back(edit);
    }
    variants.push_back(std::move(variant));
  }
  std::vector<BenchmarkPlan> benchmarks;
  for (size_t b = 0; b < 1 + random() % 3; ++b) {
    const std::string name = "b" + std::to_string(b);
    if (random() % 2 == 0) {
      std::vector<int32_t> subjects(1 + random() % 4);
      for (int32_t& size : subjects) size = static_cast<int32_t>(random() % 30);
      benchmarks.push_back(choice_benchmark(
          name,
          subjects,
          static_cast<int32_t>(random() % 800),
          1 + static_cast<int32_t>(random() % 3000)));
    } else {
      benchmarks.push_back(generation_benchmark(
          name,
          static_cast<int32_t>(random() % 40),
          10 + static_cast<int32_t>(random() % 5000),
          2 * static_cast<int32_t>(1 + random() % 300)));
    }
  }
  return make_plan(
      some_context(), small_shape(num_layers), std::move(variants), std::move(benchmarks));
}

/// Sublayers that each of the distinct ways through the layers computes, every prefix of edits
/// counted once.
struct Passes {
  double attention = 0;
  double mlp = 0;
};
Passes brute_force_passes(const Plan& plan, const Unit& unit, Sharing sharing) {
  Passes passes;
  std::set<std::string> seen;
  for (const int32_t index : unit.variants) {
    std::string path = sharing == Sharing::kNone ? "variant " + std::to_string(index) : "";
    for (int32_t layer = 0; layer < plan.shape.num_layers; ++layer) {
      std::string done = "keep";
      for (const Edit& edit : plan.variants[static_cast<size_t>(index)].edits) {
        const bool identity = edit.kind == EditKind::kMagnitude && edit.amount.millionths == 0;
        if (edit.layer == layer && !identity) done = edits_text({edit});
      }
      path += "/" + done;
      if (!seen.insert(path).second) continue;
      const bool drops_all = done.ends_with(" drop");
      passes.attention += !drops_all && !done.ends_with("drop-attention");
      passes.mlp += !drops_all && !done.ends_with("drop-mlp");
    }
  }
  return passes;
}

/// Every token and every (query, key) pair of a unit, one by one.
double brute_force_flops(const Plan& plan, const Unit& unit, Sharing sharing) {
  const BenchmarkPlan& benchmark = plan.benchmarks[static_cast<size_t>(unit.benchmark)];
  const ModelShape& shape = plan.shape;
  const auto cost = [&](const Passes& passes, double tokens, double pairs) {
    return tokens * 2 *
               (passes.attention * static_cast<double>(shape.attention_parameters) +
                passes.mlp * static_cast<double>(shape.mlp_parameters)) +
           pairs * passes.attention * static_cast<double>(shape.attention_flops_per_pair);
  };
  const Passes alone = brute_force_passes(plan, unit, Sharing::kNone);
  const auto first = benchmark.questions.begin() + unit.first_question;
  int32_t prefix = 0;
  if (sharing == Sharing::kAll && unit.num_questions > 1) {
    prefix = first[1].common_tokens;
    for (int32_t i = 2; i < unit.num_questions; ++i)
      prefix = std::min(prefix, first[i].common_tokens);
  }
  double tokens = 0;
  double pairs = 0;
  for (int32_t i = 0; i < unit.num_questions; ++i) {
    for (int32_t position = i == 0 ? 0 : prefix; position < first[i].prompt_tokens; ++position) {
      tokens += 1;
      pairs += position + 1;  // itself and all before it
    }
  }
  double flops = cost(brute_force_passes(plan, unit, sharing), tokens, pairs);
  const auto num_variants = static_cast<double>(unit.variants.size());
  const auto head = 2 * static_cast<double>(shape.head_parameters);
  flops += head * unit.num_questions * num_variants;
  if (benchmark.kind == BenchmarkKind::kGeneration) {
    for (int32_t i = 0; i < unit.num_questions; ++i) {
      // Half of the longest answer, every token of which attends to the prompt.
      for (int32_t step = 0; step < benchmark.max_new_tokens / 2; ++step) {
        flops += cost(alone, 1, first[i].prompt_tokens) + head;
      }
    }
  }
  return flops;
}

bool same_plan(const Plan& a, const Plan& b) { return plan_to_json(a) == plan_to_json(b); }

std::string key_of(const Plan& plan, size_t variant = 1, size_t benchmark = 0) {
  return variant_keys(plan).at(variant).at(benchmark);
}

}  // namespace

TEST_CASE(
    "every variant meets every question in exactly one unit, and no block crosses a subject") {
  std::mt19937 random(7);
  for (int trial = 0; trial < 300; ++trial) {
    const Plan plan = random_plan(random);
    std::set<std::tuple<int32_t, int32_t, int32_t>> met;
    for (const Unit& unit : plan.units) {
      const auto& questions = plan.benchmarks.at(static_cast<size_t>(unit.benchmark)).questions;
      REQUIRE(unit.num_questions > 0);
      REQUIRE(!unit.variants.empty());
      for (const int32_t variant : unit.variants) {
        REQUIRE(variant >= 0);
        REQUIRE(variant < static_cast<int32_t>(plan.variants.size()));
        for (int32_t q = unit.first_question; q < unit.first_question + unit.num_questions; ++q) {
          REQUIRE(met.emplace(unit.benchmark, variant, q).second);
          REQUIRE(
              questions.at(static_cast<size_t>(q)).subject ==
              questions.at(static_cast<size_t>(unit.first_question)).subject);
        }
      }
    }
    REQUIRE(static_cast<int64_t>(met.size()) == plan.num_records());
  }
}

TEST_CASE("the number of records is variants times questions") {
  CHECK(qwen3_plan(published_sweep()).num_records() == 39 * (195 + 132));
  CHECK(Plan{}.num_records() == 0);
}

TEST_CASE("units follow from variants, questions and the kind of device alone") {
  const auto benchmarks = qwen3_plan(published_sweep()).benchmarks;
  const Plan plan = qwen3_plan(published_sweep());
  Plan other = make_plan(
      {"other model", "other tokenizer", DType::kFloat32, "cpu"},
      qwen3_shape(),
      published_sweep(),
      benchmarks);
  other.context = plan.context;
  CHECK(same_plan(plan, other));
}

TEST_CASE("single drops are grouped at little cost over one group, and in several groups") {
  const Plan plan = qwen3_plan(single_drops(28));
  const PlanCost cost = plan_cost(plan);
  CHECK(cost.layer_passes_alone == 784);
  // What the best four contiguous groups of equal size cost: 6 % more than one group.
  CHECK(cost.layer_passes == 431);
  std::set<std::vector<int32_t>> groups;
  double passes = 0;
  for (const Unit& unit : plan.units) {
    if (!groups.insert(unit.variants).second) continue;
    const Passes group = brute_force_passes(plan, unit, Sharing::kAll);
    passes += (group.attention + group.mlp) / 2;
    // Neighbours, but for the baseline.
    const size_t first = unit.variants.front() == 0 ? 1 : 0;
    CHECK(
        unit.variants.back() - unit.variants.at(first) + 1 ==
        static_cast<int32_t>(unit.variants.size() - first));
  }
  CHECK(groups.size() == 4);
  CHECK(passes == cost.layer_passes);
}

TEST_CASE("magnitude 0 goes with the baseline") {
  const Plan plan = qwen3_plan(published_sweep());
  std::map<int32_t, std::vector<int32_t>> group_of;
  for (const Unit& unit : plan.units) {
    for (const int32_t variant : unit.variants) group_of[variant] = unit.variants;
  }
  const int32_t magnitude_00 = 29;
  REQUIRE(plan.variants[magnitude_00].name == "magnitude-00");
  CHECK(group_of.at(0) == group_of.at(magnitude_00));
}

TEST_CASE("a GPU gets several pruned models at once, a CPU where they generate") {
  const std::vector<BenchmarkPlan> benchmarks{
      choice_benchmark("mmlu", {400}, 600, 100), generation_benchmark("gsm8k", 132, 800, 256)};
  for (const std::string device : {"cpu", "cuda"}) {
    PlanContext context = some_context();
    context.device = device;
    const Plan plan = make_plan(context, qwen3_shape(), published_sweep(), benchmarks);
    std::array<std::set<std::vector<int32_t>>, 2> groups;
    for (const Unit& unit : plan.units) {
      groups.at(static_cast<size_t>(unit.benchmark)).insert(unit.variants);
    }
    CAPTURE(device);
    const std::vector<int32_t> levels{30, 31, 32, 33, 34, 35, 36, 37, 38};
    CHECK(groups[0].contains(levels) == (device == "cuda"));
    CHECK(groups[0].size() == (device == "cuda" ? 2 : 4 + 9));  // drops are four groups on a CPU
    CHECK(groups[1].size() == 4 + 3);
    for (const int32_t first : {30, 33, 36}) {
      CHECK(groups[1].contains({first, first + 1, first + 2}));
    }
    // However pruned models are grouped: what is computed is the same. Larger groups of drops share
    // more.
    const Plan one = make_plan(context, qwen3_shape(), published_sweep(), {benchmarks[1]});
    const double passes = plan_cost(plan).layer_passes;
    const double passes_of_one = plan_cost(one).layer_passes;
    CHECK((device == "cpu" ? passes == passes_of_one : passes < passes_of_one));
  }
}

TEST_CASE("layer passes are those of a question on average, however benchmarks group variants") {
  std::vector<Variant> variants = published_sweep();
  for (const std::string percent : {"30", "50", "70"}) {
    const std::string edits = "14-27 magnitude " + percent;
    variants.push_back({percent, parse_edits(edits, 28, MagnitudeScope::kTensor, "test")});
  }
  const Plan plan = qwen3_plan(variants);
  double passes = 0;
  for (const Unit& unit : plan.units) {
    const Passes of_unit = brute_force_passes(plan, unit, Sharing::kAll);
    passes += (of_unit.attention + of_unit.mlp) / 2 * unit.num_questions;
  }
  constexpr double kQuestions = 10 + 14 + 16 + 1 + 154 + 132;
  CHECK(plan_cost(plan).layer_passes == passes / kQuestions);
}

TEST_CASE("a copy of the baseline is computed by itself, under a key of its own") {
  std::vector<Variant> variants = published_sweep();
  const auto keys_before = variant_keys(qwen3_plan(variants));
  variants.push_back({"baseline-repeat-1", {}, 1});
  variants.push_back({"baseline-repeat-2", {}, 2});
  const Plan plan = qwen3_plan(variants);
  std::map<int32_t, std::vector<int32_t>> group_of;
  for (const Unit& unit : plan.units) {
    for (const int32_t variant : unit.variants) group_of[variant] = unit.variants;
  }
  CHECK(group_of.at(39) == std::vector<int32_t>{39});
  CHECK(group_of.at(40) == std::vector<int32_t>{40});
  CHECK(plan_cost(plan).layer_passes == plan_cost(qwen3_plan(published_sweep())).layer_passes + 56);
  const auto keys = variant_keys(plan);
  CHECK(keys[39] != keys[0]);
  CHECK(keys[39] != keys[40]);
  CHECK(std::equal(keys_before.begin(), keys_before.end(), keys.begin()));
  const Plan back = plan_from_json(plan_to_json(plan), "plan.json");
  CHECK(variant_keys(back) == keys);
  CHECK(plan_to_json(back) == plan_to_json(plan));
}

TEST_CASE("blocks hold many short questions or one long one") {
  const auto variants = single_drops(28);
  const auto units_of = [&](BenchmarkPlan benchmark) {
    return make_plan(some_context(), qwen3_shape(), {variants[0]}, {std::move(benchmark)}).units;
  };
  CHECK(units_of(choice_benchmark("mmlu", {20}, 600, 50)).size() == 1);
  CHECK(units_of(choice_benchmark("mmlu", {10, 10}, 600, 50)).size() == 2);
  CHECK(units_of(choice_benchmark("mmlu", {20}, 0, 30'000)).size() == 20);
  CHECK(units_of(generation_benchmark("gsm8k", 20, 30'000, 256)).size() == 20);
  CHECK(units_of(choice_benchmark("mmlu", {0, 0}, 1, 1)).empty());
}

TEST_CASE("generated answers share a block by what is theirs alone") {
  const auto num_units = [&](int32_t common_tokens) {
    BenchmarkPlan benchmark = generation_benchmark("gsm8k", 40, 800, 128);
    for (QuestionInfo& question : benchmark.questions) question.common_tokens = common_tokens;
    return make_plan(some_context(), qwen3_shape(), single_drops(28), {benchmark}).units.size();
  };
  CHECK(num_units(0) > 3 * num_units(700));
}

TEST_CASE("a GPU gets larger blocks") {
  PlanContext on_gpu = some_context();
  on_gpu.device = "cuda";
  const auto num_units = [&](const PlanContext& context) {
    return make_plan(
               context,
               qwen3_shape(),
               single_drops(28),
               {choice_benchmark("mmlu", {400}, 600, 100), generation_benchmark("g", 40, 800, 256)})
        .units.size();
  };
  CHECK(num_units(some_context()) > 8 * num_units(on_gpu));
}

TEST_CASE("the estimate of a unit is the count of its tokens, pairs and layers, one by one") {
  std::mt19937 random(11);
  size_t num_checked = 0;
  for (int trial = 0; trial < 60; ++trial) {
    const Plan plan = random_plan(random);
    for (const Unit& unit : plan.units) {
      for (const Sharing sharing : {Sharing::kAll, Sharing::kNone}) {
        REQUIRE(
            unit_flops(plan, unit, sharing) ==
            Approx(brute_force_flops(plan, unit, sharing)).epsilon(1e-12));
      }
      REQUIRE(unit.flops == unit_flops(plan, unit, Sharing::kAll));
      ++num_checked;
    }
  }
  CHECK(num_checked > 800);
}

TEST_CASE("the cost of a plan is the sum over its units, and its tokens those of its prompts") {
  const Plan plan = qwen3_plan(published_sweep());
  const PlanCost cost = plan_cost(plan);
  double flops = 0;
  double flops_alone = 0;
  for (const Unit& unit : plan.units) {
    flops += unit.flops;
    flops_alone += brute_force_flops(plan, unit, Sharing::kNone);
  }
  CHECK(cost.flops == Approx(flops));
  CHECK(cost.flops_alone == Approx(flops_alone));
  CHECK(cost.flops < 0.8 * cost.flops_alone);
  int64_t prompt_tokens = 0;
  int64_t shared = 0;
  for (const BenchmarkPlan& benchmark : plan.benchmarks) {
    for (const QuestionInfo& question : benchmark.questions)
      prompt_tokens += question.prompt_tokens;
  }
  for (const Unit& unit : plan.units) {
    const auto first = plan.benchmarks[static_cast<size_t>(unit.benchmark)].questions.begin() +
                       unit.first_question;
    for (int32_t i = 0; i < unit.num_questions; ++i) {
      const int32_t prefix = i == 0 ? 0 : first[1].common_tokens;
      shared += (first[i].prompt_tokens - prefix) * std::ssize(unit.variants);
    }
  }
  CHECK(cost.prompt_tokens == prompt_tokens);
  // Groups of fewer layer passes take longer blocks: of one variant on average.
  CHECK(cost.shared_prompt_tokens == shared / std::ssize(plan.variants));
}

TEST_CASE("a plan comes back from its text, which is canonical") {
  std::mt19937 random(13);
  for (int trial = 0; trial < 50; ++trial) {
    const Plan plan = random_plan(random);
    const std::string text = plan_to_json(plan);
    const Plan back = plan_from_json(text, "plan.json");
    REQUIRE(plan_to_json(back) == text);
    REQUIRE(plan_sha256(back) == sha256_hex(text));
    REQUIRE(variant_keys(back) == variant_keys(plan));
    REQUIRE(back.units.size() == plan.units.size());
    for (size_t i = 0; i < plan.units.size(); ++i)
      REQUIRE(back.units[i].flops == plan.units[i].flops);
  }
  Plan plan = qwen3_plan(
      {{"baseline", {}}, {"x", {{3, EditKind::kMagnitude, {33'333'333}, MagnitudeScope::kRow}}}});
  plan.context = {"m\"sha", "t", DType::kFloat32, "cuda"};
  plan.benchmarks[0].questions[0].gold = "caf\xc3\xa9\n\"";
  const Plan back = plan_from_json(plan_to_json(plan), "plan.json");
  CHECK(back.context.model_sha256 == "m\"sha");
  CHECK(back.context.tokenizer_sha256 == "t");
  CHECK(back.context.dtype == DType::kFloat32);
  CHECK(back.context.device == "cuda");
  CHECK(back.shape.num_parameters == 596'049'920);
  CHECK(back.shape.attention_flops_per_pair == 8192);
  CHECK(back.variants[1].edits == plan.variants[1].edits);
  CHECK(back.benchmarks[0].questions[0].gold == "caf\xc3\xa9\n\"");
  CHECK(back.benchmarks[1].kind == BenchmarkKind::kGeneration);
  CHECK(back.benchmarks[1].max_new_tokens == 256);
  CHECK(back.benchmarks[1].questions[5].prompt_tokens == 805);
  CHECK(back.benchmarks[1].questions[5].common_tokens == 9);
}

TEST_CASE("what is no plan is refused by the file's name") {
  const Plan plan = qwen3_plan({{"baseline", {}}, {"drop-03", {{3, EditKind::kDrop}}}});
  const Json good = Json::parse(plan_to_json(plan));
  const auto check_refused = [](const std::string& text, const std::string& words) {
    CAPTURE(words);
    const std::string message = refusal_of([&] { plan_from_json(text, "run/plan.json"); });
    CHECK_THAT(message, Catch::Matchers::StartsWith("run/plan.json"));
    CHECK_THAT(message, ContainsSubstring(words));
  };
  for (const char* text : {"", "{", "[]", "3", "null", "{}", "\xff"}) check_refused(text, "");
  for (const auto& [key, value] : good.items()) {
    Json json = good;
    json.erase(key);
    check_refused(json.dump(), key);
    json[key] = "text";
    check_refused(json.dump(), "");
  }
  struct Row {
    const char* pointer;
    Json value;
  };
  const std::vector<Row> rows{
      {"/context/dtype", "int8"},
      {"/shape/num_layers", -1},
      {"/shape/num_layers", 3},  // the edit of layer 3 is not there
      {"/variants/1/edits", "3 remove"},
      {"/benchmarks/0/kind", 2},
      {"/benchmarks/0/kind", -1},
      {"/benchmarks/0/questions/0", Json::array({"s", 1})},
      {"/units/0/benchmark", 2},
      {"/units/0/benchmark", -1},
      {"/units/0/variants", Json::array()},
      {"/units/0/variants/0", 2},
      {"/units/0/variants/0", -1},
      {"/units/0/first_question", -1},
      {"/units/0/first_question", 1'000'000},
      {"/units/0/num_questions", 0},
      {"/units/0/num_questions", -5},
      {"/units/0/num_questions", 2'147'483'647},
      {"/units/0/flops", -1.0},
      {"/units/0/flops", "many"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pointer, row.value.dump());
    Json json = good;
    json.at(Json::json_pointer(row.pointer)) = row.value;
    check_refused(json.dump(), "");
  }
}

TEST_CASE("a plan's text cut anywhere is refused") {
  const Plan plan = make_plan(
      some_context(), small_shape(2), {{"baseline", {}}}, {generation_benchmark("g", 1, 5, 2)});
  const std::string text = plan_to_json(plan);
  for (size_t size = 0; size < text.size(); ++size) {
    CAPTURE(size);
    REQUIRE_THROWS_AS(plan_from_json(text.substr(0, size), "plan.json"), Error);
  }
}

TEST_CASE("magnitude 0 has the baseline's key, whatever its name") {
  const auto keys = variant_keys(qwen3_plan(published_sweep()));
  CHECK(keys[29] == keys[0]);
  std::set<std::string> distinct;
  for (const auto& row : keys) {
    REQUIRE(row.size() == 2);
    distinct.insert(row.begin(), row.end());
    CHECK(row[0].size() == 64);
  }
  CHECK(distinct.size() == 2 * 38);
}

TEST_CASE("a key does not depend on what else is in the plan") {
  const auto in_all = variant_keys(qwen3_plan(published_sweep()))[8];
  const auto alone = variant_keys(qwen3_plan({{"mine", {{7, EditKind::kDrop}}}}))[0];
  CHECK(in_all == alone);
}

TEST_CASE("a variant's key differs when anything differs that can change a record") {
  const Plan plan =
      qwen3_plan({{"baseline", {}}, {"x", {{3, EditKind::kMagnitude, {50'000'000}}}}});
  std::set<std::string> keys{key_of(plan)};
  const auto changed = [&](auto change) {
    Plan other = plan;
    change(other);
    return key_of(other);
  };
  const std::vector<std::string> others{
      changed([](Plan& p) { p.context.model_sha256 += "1"; }),
      changed([](Plan& p) { p.context.tokenizer_sha256 += "1"; }),
      changed([](Plan& p) { p.context.dtype = DType::kFloat32; }),
      changed([](Plan& p) { p.context.device = "cuda"; }),
      changed([](Plan& p) { p.variants[1].edits[0].layer = 4; }),
      changed([](Plan& p) { p.variants[1].edits[0].amount.millionths += 1; }),
      changed([](Plan& p) { p.variants[1].edits[0].scope = MagnitudeScope::kRow; }),
      changed([](Plan& p) { p.variants[1].edits[0].kind = EditKind::kDrop; }),
      changed([](Plan& p) {
        p.variants[1].edits.push_back({5, EditKind::kDropMlp});
      }),
      changed([](Plan& p) { p.variants[1].edits.clear(); }),
      changed([](Plan& p) { p.benchmarks[0].name += "2"; }),
      changed([](Plan& p) { p.benchmarks[0].rules += "2"; }),
      changed([](Plan& p) { p.benchmarks[0].max_new_tokens += 1; }),
      // Fields keep their borders.
      changed([](Plan& p) {
        p.context.model_sha256 = "modelt";
        p.context.tokenizer_sha256 = "okenizer";
      }),
      key_of(plan, 1, 1),
  };
  for (size_t i = 0; i < others.size(); ++i) {
    CAPTURE(i);
    CHECK(keys.insert(others[i]).second);
  }
  CHECK(changed([](Plan& p) { p.variants[1].name = "y"; }) == key_of(plan));
}

TEST_CASE("a question's key differs when anything differs that can change a record") {
  const BenchmarkPlan benchmark = choice_benchmark("mmlu", {2}, 10, 5);
  const QuestionInfo question = benchmark.questions[0];
  BenchmarkPlan other_benchmark = benchmark;
  other_benchmark.name = "mmlu2";
  std::set<std::string> keys{question_key(benchmark, question)};
  const auto check_new = [&](auto change) {
    QuestionInfo other = question;
    change(other);
    CHECK(keys.insert(question_key(benchmark, other)).second);
  };
  check_new([](QuestionInfo& q) { q.subject += "2"; });
  check_new([](QuestionInfo& q) { q.doc_id += 1; });
  check_new([](QuestionInfo& q) { q.gold = "3"; });
  check_new([](QuestionInfo& q) { q.prompt_sha256[0] = 'x'; });
  CHECK(keys.insert(question_key(other_benchmark, question)).second);
  CHECK(question_key(benchmark, question).size() == 64);
}

TEST_CASE("the size of a variant counts what it removes and what it zeroes") {
  const Plan plan = qwen3_plan({{"baseline", {}}});
  const auto size_of = [&](const std::string& edits) {
    return variant_size(plan, {"x", parse_edits(edits, 28, MagnitudeScope::kTensor, "x")});
  };
  // A layer of Qwen3-0.6B: 15,728,640 linear weights and 2,304 of its norms.
  const VariantSize drop = size_of("7 drop");
  CHECK(drop.num_parameters_removed == 15'730'944);
  CHECK(100 * drop.sparsity_model == Approx(2.64).margin(0.005));
  CHECK(drop.sparsity_model == Approx(15'730'944 / 596'049'920.0));
  CHECK(drop.sparsity_blocks == Approx(1 / 28.0));

  const VariantSize attention = size_of("7 drop-attention");
  CHECK(attention.num_parameters_removed == 6'291'456);
  CHECK(attention.sparsity_blocks == Approx(6'291'456 / (28 * 15'728'640.0)));
  CHECK(size_of("7 drop-mlp").num_parameters_removed == 9'437'184);

  const VariantSize half = size_of("0-27 magnitude 50");
  CHECK(half.num_parameters_removed == 0);
  CHECK(half.sparsity_blocks == Approx(0.5));
  CHECK(half.sparsity_model == Approx(28 * 7'864'320 / 596'049'920.0));

  const VariantSize mixed = size_of("0 drop, 1 magnitude 25, 2 magnitude 0");
  CHECK(mixed.num_parameters_removed == 15'730'944);
  CHECK(mixed.sparsity_blocks == Approx(1.25 / 28));
  CHECK(mixed.sparsity_model == Approx((15'730'944 + 3'932'160) / 596'049'920.0));

  for (const char* identity : {"", "0-27 magnitude 0"}) {
    CHECK(size_of(identity).num_parameters_removed == 0);
    CHECK(size_of(identity).sparsity_blocks == 0);
    CHECK(size_of(identity).sparsity_model == 0);
  }
}
