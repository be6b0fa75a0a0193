#include <algorithm>
#include <cmath>
#include <cstdio>
#include <queue>
#include <random>

#include "core/plans.hpp"
#include "prune_sweep/sweep/master.hpp"
#include "sweep/simulation.hpp"

using namespace prune_sweep;

namespace {

/// Deciles of how long the 117 units of the demo job took, over what their FLOPs let expect.
constexpr std::array kMeasuredSpread{0.63, 0.68, 0.70, 0.77, 0.85, 0.98, 1.07, 1.16, 1.46, 1.97};

/// The real sweep's model and variants, with questions enough for some ten thousand units.
Plan large_plan() {
  auto variants = single_drops(28);
  for (int64_t percent = 10; percent <= 90; percent += 10) variants.push_back(pruned(28, percent));
  std::vector<int32_t> subjects(57);
  for (size_t i = 0; i < subjects.size(); ++i)
    subjects[i] = 60 + static_cast<int32_t>(i * 37 % 900);
  return make_plan(
      some_context(),
      qwen3_shape(),
      std::move(variants),
      {choice_benchmark("mmlu", subjects, 500, 90), generation_benchmark("gsm8k", 1319, 900, 256)});
}

/// A discrete-event run: workers that need their time, die, and are missed only after a while.
class LargeRun {
 public:
  LargeRun(const Plan& plan, int32_t num_workers, double mean_unit_s, double deaths_per_hour)
      : plan_(plan),
        master_(plan, RecordTable(plan), {.num_workers = num_workers, .rank_silence_s = 30}),
        lease_of_(static_cast<size_t>(num_workers)),
        dies_at_s_(static_cast<size_t>(num_workers)) {
    double flops = 0;
    for (const Unit& unit : plan.units) flops += unit.flops;
    seconds_per_flop_ = mean_unit_s * static_cast<double>(plan.units.size()) / flops;
    std::exponential_distribution<double> life(deaths_per_hour / 3600);
    for (int32_t worker = 0; worker < num_workers; ++worker) {
      // Rank 0 is the master's: its death is another start.
      dies_at_s_[static_cast<size_t>(worker)] = worker == 0 ? 1e12 : life(random_);
    }
  }

  /// Makespan over that of work that is shared out without loss among those who live.
  double run() {
    take(master_.on_tick(kStart_s));
    for (size_t worker = 0; worker < lease_of_.size(); ++worker) {
      take(master_.on_message(static_cast<int32_t>(worker), kReady, kStart_s));
    }
    for (double tick_s = 1; !master_.is_finished(); tick_s += 1) {
      REQUIRE(tick_s < 36'000);
      while (!ends_.empty() && ends_.top().first <= tick_s && !master_.is_finished()) {
        const auto [at_s, worker] = ends_.top();
        ends_.pop();
        now_s_ = at_s;
        finish(worker);
      }
      if (master_.is_finished()) break;
      now_s_ = tick_s;
      for (size_t worker = 0; worker < lease_of_.size(); ++worker) {
        if (static_cast<int64_t>(tick_s) % 5 == 0 && dies_at_s_[worker] > now_s_) {
          const auto state = lease_of_[worker] ? WorkerState::kAtWork : WorkerState::kIdle;
          take(master_.on_message(
              static_cast<int32_t>(worker), Heartbeat{state}, kStart_s + now_s_));
        }
      }
      take(master_.on_tick(kStart_s + now_s_));
    }
    REQUIRE(master_.is_complete());
    return now_s_ / ideal_s();
  }

  int num_deaths() const {
    return static_cast<int>(std::count_if(
        dies_at_s_.begin(), dies_at_s_.end(), [&](double at_s) { return at_s < now_s_; }));
  }
  double makespan_s() const { return now_s_; }

 private:
  static constexpr double kStart_s = 1e9;
  using End = std::pair<double, int32_t>;  // (time, worker)

  double duration_s(const Lease& lease) {
    const Unit& unit = plan_.units[static_cast<size_t>(lease.unit)];
    return unit.flops * seconds_per_flop_ * kMeasuredSpread[random_() % kMeasuredSpread.size()];
  }

  void take(const std::vector<Action>& actions) {
    for (const Action& action : actions) {
      const auto* send = std::get_if<Send>(&action);
      if (send == nullptr || !std::holds_alternative<Lease>(send->message)) continue;
      const Lease& lease = std::get<Lease>(send->message);
      const double needed_s = duration_s(lease);
      work_s_[lease.unit] = needed_s;
      lease_of_[static_cast<size_t>(send->worker)] = lease;
      ends_.push({now_s_ + needed_s, send->worker});
    }
  }

  void finish(int32_t worker) {
    const auto lease = std::exchange(lease_of_[static_cast<size_t>(worker)], std::nullopt);
    if (dies_at_s_[static_cast<size_t>(worker)] <= now_s_) return;
    take(master_.on_message(worker, result_of(plan_, *lease), kStart_s + now_s_));
  }

  /// When those who live would be done if the work could be cut as one likes.
  double ideal_s() const {
    double work_s = 0;
    for (const auto& [unit, needed_s] : work_s_) work_s += needed_s;
    std::vector<double> deaths = dies_at_s_;
    std::sort(deaths.begin(), deaths.end());
    double at_s = 0;
    for (size_t dead = 0; dead < deaths.size(); ++dead) {
      const auto alive = static_cast<double>(deaths.size() - dead);
      if (work_s <= alive * (deaths[dead] - at_s)) return at_s + work_s / alive;
      work_s -= alive * (deaths[dead] - at_s);
      at_s = deaths[dead];
    }
    return at_s;
  }

  const Plan& plan_;
  Master master_;
  std::mt19937 random_{7};
  double seconds_per_flop_ = 0;
  std::vector<std::optional<Lease>> lease_of_;
  std::vector<double> dies_at_s_;
  std::priority_queue<End, std::vector<End>, std::greater<>> ends_;
  std::map<int32_t, double> work_s_;
  double now_s_ = 0;
};

}  // namespace

TEST_CASE("a thousand dying workers do ten thousand units in little more than the ideal time") {
  const Plan plan = large_plan();
  CHECK(plan.units.size() > 9'000);
  LargeRun run(plan, 1000, 60, 0.01);
  const double ratio = run.run();
  std::printf(
      "1,000 workers, %zu units, %d deaths: makespan %.0f s, %.3f of the ideal\n",
      plan.units.size(),
      run.num_deaths(),
      run.makespan_s(),
      ratio);
  CHECK(ratio <= 1.15);
}
