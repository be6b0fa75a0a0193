#include "prune_sweep/sweep/schedule.hpp"

#include <algorithm>

namespace prune_sweep {

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

std::optional<size_t> Schedule::group_for(int32_t worker, const Fits& fits) const {
  std::optional<size_t> best;
  double best_share = 0;
  const auto own = group_of_worker_.find(worker);
  for (size_t i = 0; i < groups_.size(); ++i) {
    const Group& group = groups_[i];
    if (longest(group.open, fits) == group.open.end()) continue;
    if (group.has_baseline || (own != group_of_worker_.end() && own->second == i)) return i;
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
