/// \file
/// A master and as many workers as one likes, in simulated time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <queue>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "prune_sweep/sweep/master.hpp"
#include "sweep/simulation.hpp"

namespace prune_sweep {

/// A discrete-event run: workers that need their time, die, and are missed only after a while.
class LargeRun {
 public:
  /// A unit takes its FLOPs times one of `seconds_per_flop`, [benchmarks][any number], drawn anew
  /// for each attempt.
  LargeRun(
      const Plan& plan,
      int32_t num_workers,
      std::vector<std::vector<double>> seconds_per_flop,
      double deaths_per_hour)
      : plan_(plan),
        master_(plan, RecordTable(plan), {.num_workers = num_workers, .rank_silence_s = 30}),
        lease_of_(static_cast<size_t>(num_workers)),
        dies_at_s_(static_cast<size_t>(num_workers), kNever_s),
        seconds_per_flop_(std::move(seconds_per_flop)) {
    if (deaths_per_hour <= 0) return;
    std::exponential_distribution<double> life(deaths_per_hour / 3600);
    // Rank 0 is the master's: its death is another start.
    for (size_t worker = 1; worker < dies_at_s_.size(); ++worker)
      dies_at_s_[worker] = life(random_);
  }

  /// Makespan over that of work that is shared out without loss among those who live.
  double run() {
    take(master_.on_tick(kStart_s));
    for (size_t worker = 0; worker < lease_of_.size(); ++worker) {
      take(master_.on_message(static_cast<int32_t>(worker), kReady, kStart_s));
    }
    for (double tick_s = 1; !master_.is_finished(); tick_s += 1) {
      check(tick_s < kLongest_s, "the run does not end");
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
    check(master_.is_complete(), "the run ended without all records");
    return now_s_ / ideal_s();
  }

  int num_deaths() const {
    return static_cast<int>(std::count_if(
        dies_at_s_.begin(), dies_at_s_.end(), [&](double at_s) { return at_s < now_s_; }));
  }
  double makespan_s() const { return now_s_; }

 private:
  static void check(bool holds, const char* message) {
    if (!holds) throw std::runtime_error(message);
  }

  static constexpr double kStart_s = 1e9;
  static constexpr double kNever_s = 1e12;
  static constexpr double kLongest_s = 1e7;
  using End = std::pair<double, int32_t>;  // (time, worker)

  double duration_s(const Lease& lease) {
    const Unit& unit = plan_.units[static_cast<size_t>(lease.unit)];
    const auto& measured = seconds_per_flop_[static_cast<size_t>(unit.benchmark)];
    return unit.flops * measured[random_() % measured.size()];
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
  std::vector<std::optional<Lease>> lease_of_;
  std::vector<double> dies_at_s_;
  std::vector<std::vector<double>> seconds_per_flop_;
  std::priority_queue<End, std::vector<End>, std::greater<>> ends_;
  std::map<int32_t, double> work_s_;
  double now_s_ = 0;
};

}  // namespace prune_sweep
