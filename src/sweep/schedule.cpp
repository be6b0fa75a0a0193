#include "prune_sweep/sweep/schedule.hpp"

#include <algorithm>

namespace prune_sweep {

namespace {

/// A worker leaves its group for a unit that is longer by this...
constexpr double kMuchLonger = 1.25;
/// ... once the work that is left is this many times that unit for every worker.
constexpr double kNearTheEnd = 3;

}  // namespace

Schedule::Schedule(const Plan& plan, const std::vector<int32_t>& open)
    : plan_(&plan), group_of_unit_(plan.units.size()) {
  std::map<std::vector<int32_t>, size_t> group_of_variants;
  for (size_t unit = 0; unit < plan.units.size(); ++unit) {
    const std::vector<int32_t>& variants = plan.units[unit].variants;
    const auto [entry, is_new] = group_of_variants.try_emplace(variants, groups_.size());
    if (is_new) groups_.push_back({.has_baseline = variants.front() == 0});
    group_of_unit_[unit] = entry->second;
  }
  for (const int32_t unit : open) {
    const double flops = plan.units[static_cast<size_t>(unit)].flops;
    Group& group = groups_[group_of_unit_[static_cast<size_t>(unit)]];
    group.open.emplace(-flops, unit);
    group.open_flops += flops;
    remaining_flops_ += flops;
    ++num_open_;
  }
}

Schedule::OpenUnits::const_iterator Schedule::longest(const OpenUnits& open, const Fits& fits) {
  return std::find_if(
      open.begin(), open.end(), [&](const auto& entry) { return !fits || fits(entry.second); });
}

std::optional<size_t> Schedule::urgent_group(const Group& own, const Fits& fits) const {
  std::optional<size_t> longest_group;
  double longest_flops = 0;
  double open_flops = 0;
  for (size_t i = 0; i < groups_.size(); ++i) {
    open_flops += groups_[i].open_flops;
    const auto next = longest(groups_[i].open, fits);
    if (next == groups_[i].open.end() || -next->first <= longest_flops) continue;
    longest_group = i;
    longest_flops = -next->first;
  }
  const auto next = longest(own.open, fits);
  const double own_flops = next == own.open.end() ? 0 : -next->first;
  const auto num_workers = static_cast<double>(group_of_worker_.size());
  const bool is_urgent = longest_flops > kMuchLonger * own_flops &&
                         open_flops < kNearTheEnd * longest_flops * num_workers;
  return is_urgent ? longest_group : std::nullopt;
}

std::optional<size_t> Schedule::group_for(int32_t worker, const Fits& fits) const {
  const auto has_work = [&](const Group& group) {
    return longest(group.open, fits) != group.open.end();
  };
  for (size_t i = 0; i < groups_.size(); ++i) {
    if (groups_[i].has_baseline && has_work(groups_[i])) return i;
  }
  const auto own = group_of_worker_.find(worker);
  if (own != group_of_worker_.end()) {
    if (const auto urgent = urgent_group(groups_[own->second], fits)) return urgent;
    if (has_work(groups_[own->second])) return own->second;
  }
  std::optional<size_t> best;
  double best_share = 0;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const Group& group = groups_[i];
    if (!has_work(group)) continue;
    const double share = group.open_flops / static_cast<double>(1 + group.workers.size());
    if (!best || share > best_share) {
      best = i;
      best_share = share;
    }
  }
  return best;
}

std::optional<int32_t> Schedule::next(int32_t worker, const Fits& fits) {
  const auto chosen = group_for(worker, fits);
  if (!chosen) return std::nullopt;
  const auto previous = group_of_worker_.find(worker);
  if (previous != group_of_worker_.end()) groups_[previous->second].workers.erase(worker);
  group_of_worker_[worker] = *chosen;
  Group& group = groups_[*chosen];
  group.workers.insert(worker);
  const auto taken = longest(group.open, fits);
  const auto [negative_flops, unit] = *taken;
  group.open.erase(taken);
  group.open_flops += negative_flops;
  --num_open_;
  ++num_leased_;
  return unit;
}

void Schedule::complete(int32_t unit) {
  --num_leased_;
  remaining_flops_ -= plan_->units[static_cast<size_t>(unit)].flops;
}

void Schedule::give_back(int32_t unit) {
  const double flops = plan_->units[static_cast<size_t>(unit)].flops;
  Group& group = groups_[group_of_unit_[static_cast<size_t>(unit)]];
  group.open.emplace(-flops, unit);
  group.open_flops += flops;
  ++num_open_;
  --num_leased_;
}

}  // namespace prune_sweep
