#include "prune_sweep/benchmarks/benchmark.hpp"

#include <set>

#include "benchmarks/prompt_vectors.hpp"
#include "catch.hpp"
#include "prune_sweep/core/check.hpp"

using namespace prune_sweep;

TEST_CASE("benchmarks are found by name") {
  CHECK(benchmark_names() == std::vector<std::string>{"mmlu", "gsm8k"});
  CHECK(benchmark_info("gsm8k").name == "gsm8k");
  CHECK_THROWS_WITH(
      benchmark_info("mmul"),
      ContainsSubstring("benchmark mmul (not known) known are mmlu, gsm8k"));
}

// Covers a new row of the table by itself, once its data are in the test data.
TEST_CASE("every benchmark of the table keeps the contract") {
  std::set<std::string_view> names;
  for (const BenchmarkInfo& info : benchmark_table()) {
    CAPTURE(info.name);
    CHECK(names.insert(info.name).second);
    CHECK_FALSE(info.summary.empty());
    CHECK_FALSE(info.rules.empty());
    BenchmarkRequest request = request_for(std::string(info.name));
    request.selection.limit.value = 3;
    const auto benchmark = info.read(request, {});
    CHECK(benchmark->name() == info.name);
    CHECK(benchmark->kind() == info.kind);
    const bool is_choice = info.kind == BenchmarkKind::kMultipleChoice;
    CHECK(benchmark->stop_strings().empty() == is_choice);
    REQUIRE_FALSE(benchmark->questions().empty());
    std::set<std::pair<std::string, int32_t>> places;
    for (const Question& question : benchmark->questions()) {
      CHECK(places.insert({question.subject, question.doc_id}).second);
      CHECK(question.doc_id < 3);
      CHECK_FALSE(question.prompt.empty());
      CHECK_FALSE(question.target.empty());
      CHECK_FALSE(question.gold.empty());
      CHECK(nlohmann::json::parse(question.doc_json).is_object());
      CHECK(question.choices.size() == static_cast<size_t>(info.num_choices));
      CHECK((question.gold_choice >= 0) == is_choice);
      CHECK(question.gold_choice < std::max(info.num_choices, 1));
    }
    // A record that was never scored has no line.
    CHECK(benchmark->samples(benchmark->questions()[0], Record{}).empty());
  }
}
