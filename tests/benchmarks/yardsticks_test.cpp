#include "prune_sweep/benchmarks/yardsticks.hpp"

#include "catch.hpp"
#include "prune_sweep/benchmarks/benchmark.hpp"
#include "prune_sweep/core/digest.hpp"

using namespace prune_sweep;

namespace {

// What Checkpoint::sha256 gives for the published Qwen3-0.6B, from the digests of its two files.
const std::string kQwen3 =
    Sha256()
        .field("model.safetensors")
        .field("f47f71177f32bcd101b7573ec9171e6a57f4f4d31148d38e382306f42996874b")
        .field("config.json")
        .field("660db3b73d788119c04535e48cf9be5f55bc3100841a718637ae695b442f27dd")
        .hex();

BenchmarkPlan asked(std::string_view name) {
  BenchmarkPlan plan;
  plan.name = name;
  plan.kind = name == "gsm8k" ? BenchmarkKind::kGeneration : BenchmarkKind::kMultipleChoice;
  plan.max_new_tokens = name == "gsm8k" ? 256 : 0;
  plan.shots = 5;
  plan.rules = "the usual ones";
  return plan;
}

}  // namespace

TEST_CASE("a known model has a yardstick for every benchmark, above guessing") {
  for (const BenchmarkInfo& info : benchmark_table()) {
    const auto yardstick = find_yardstick(kQwen3, asked(info.name));
    REQUIRE(yardstick);
    CHECK(yardstick->model == "Qwen/Qwen3-0.6B");
    CHECK(yardstick->low < yardstick->high);
    CHECK(yardstick->high < 1);
    if (info.num_choices > 0) CHECK(yardstick->low > 1.0 / info.num_choices);
    CHECK_FALSE(yardstick->source.empty());
  }
}

TEST_CASE("an unknown model or benchmark has none") {
  CHECK_FALSE(find_yardstick(std::string(64, '0'), asked("mmlu")));
  CHECK_FALSE(find_yardstick(kQwen3, asked("hellaswag")));
  CHECK_FALSE(find_yardstick("", asked("mmlu")));
}

TEST_CASE("a model asked in another way has none") {
  BenchmarkPlan plan = asked("gsm8k");
  plan.max_new_tokens = 64;
  CHECK_FALSE(find_yardstick(kQwen3, plan));
  plan = asked("mmlu");
  plan.shots = 0;
  CHECK_FALSE(find_yardstick(kQwen3, plan));
  plan = asked("mmlu");
  plan.rules += "; chat multi-turn thinking off";
  CHECK_FALSE(find_yardstick(kQwen3, plan));
}
