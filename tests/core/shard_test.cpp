#include "prune_sweep/core/shard.hpp"

#include <numeric>
#include <set>

#include "core/message_of.hpp"
#include "core/plans.hpp"

using namespace prune_sweep;

namespace {

Job some_job() {
  Job job;
  job.source = "my.ini";
  job.sweep.layers = "all";
  for (const int64_t percent : {0, 10, 50, 90})
    job.sweep.magnitude.push_back({percent * 1'000'000});
  job.sweep.variants = {{"both", "3 drop, 7 drop-attention"}, {"half", "0-13 drop"}};
  job.output_dir = "/results/run";
  return job;
}

Plan plan_of_job(const Job& job) {
  return make_plan(
      some_context(),
      qwen3_shape(),
      enumerate_variants(job, 28),
      {choice_benchmark("mmlu", {40, 60}, 500, 80), generation_benchmark("gsm8k", 30, 600, 128)});
}

std::vector<std::string> names_of(const Job& job) {
  std::vector<std::string> names;
  for (const Variant& variant : enumerate_variants(job, 28)) names.push_back(variant.name);
  return names;
}

}  // namespace

TEST_CASE("shards have every variant once, in order, and the baseline each") {
  const Job job = some_job();
  const Plan plan = plan_of_job(job);
  for (const int32_t count : {1, 2, 3, 5, 8, 34}) {
    CAPTURE(count);
    std::vector<std::string> all{"baseline"};
    for (int32_t index = 1; index <= count; ++index) {
      const Job part = shard_of(job, plan, {index, count});
      const std::vector<std::string> names = names_of(part);
      REQUIRE(names.size() > 1);
      CHECK(names.front() == "baseline");
      all.insert(all.end(), names.begin() + 1, names.end());
      CHECK(
          part.output_dir ==
          "/results/run-" + std::to_string(index) + "-of-" + std::to_string(count));
    }
    CHECK(all == names_of(job));
  }
}

TEST_CASE("shards cost about the same") {
  const Job job = some_job();
  const Plan plan = plan_of_job(job);
  std::vector<double> flops;
  for (int32_t index = 1; index <= 4; ++index) {
    flops.push_back(plan_cost(plan_of_job(shard_of(job, plan, {index, 4}))).flops);
  }
  const double mean = std::accumulate(flops.begin(), flops.end(), 0.0) / 4;
  for (const double each : flops) {
    CHECK(each < 1.4 * mean);
    CHECK(each > 0.6 * mean);
  }
}

TEST_CASE("what is no shard is refused by name") {
  for (const char* text :
       {"", "3", "0/4", "5/4", "1/0", "-1/4", "1/4x", "1 / 4", "1/99999", "a/b"}) {
    CAPTURE(text);
    CHECK(message_of([&] { parse_shard(text); }).find("--shard=") == 0);
  }
  CHECK(parse_shard("2/4").index == 2);
  CHECK(parse_shard("2/4").count == 4);
  const Job job = some_job();
  CHECK(message_of([&] {
          shard_of(job, plan_of_job(job), {1, 35});
        }).find("only 34 variants beside the baseline") != std::string::npos);
}
