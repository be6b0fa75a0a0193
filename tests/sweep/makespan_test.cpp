#include <array>
#include <cstdio>

#include "core/plans.hpp"
#include "sweep/large_run.hpp"

using namespace prune_sweep;

namespace {

/// Deciles of how long the 117 units of the demo job took, over what their FLOPs let expect.
constexpr std::array kMeasuredSpread{0.63, 0.68, 0.70, 0.77, 0.85, 0.98, 1.07, 1.16, 1.46, 1.97};

/// The real sweep's model, and levels and questions enough for some ten thousand units.
Plan large_plan() {
  auto variants = single_drops(28);
  for (int64_t percent = 5; percent <= 95; percent += 5) variants.push_back(pruned(28, percent));
  std::vector<int32_t> subjects(57);
  for (size_t i = 0; i < subjects.size(); ++i)
    subjects[i] = 60 + static_cast<int32_t>(i * 37 % 900);
  return make_plan(
      some_context(),
      qwen3_shape(),
      std::move(variants),
      {choice_benchmark("mmlu", subjects, 500, 90), generation_benchmark("gsm8k", 1319, 900, 256)});
}

/// Seconds by FLOP of units that take `mean_unit_s` on average.
std::vector<double> measured_times(const Plan& plan, double mean_unit_s) {
  double flops = 0;
  for (const Unit& unit : plan.units) flops += unit.flops;
  std::vector<double> times;
  for (const double spread : kMeasuredSpread) {
    times.push_back(spread * mean_unit_s * static_cast<double>(plan.units.size()) / flops);
  }
  return times;
}

}  // namespace

TEST_CASE("a thousand dying workers do ten thousand units in little more than the ideal time") {
  const Plan plan = large_plan();
  CHECK(plan.units.size() > 9'000);
  LargeRun run(plan, 1000, {2, measured_times(plan, 60)}, 0.01);
  const double ratio = run.run();
  std::printf(
      "1,000 workers, %zu units, %d deaths: makespan %.0f s, %.3f of the ideal\n",
      plan.units.size(),
      run.num_deaths(),
      run.makespan_s(),
      ratio);
  CHECK(ratio <= 1.15);
}
