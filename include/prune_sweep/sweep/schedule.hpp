/// \file
/// Which unit next, for whom. A plain object: no MPI, no clock, no records.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "prune_sweep/core/plan.hpp"

namespace prune_sweep {

/// Deals out the open units of a plan. Rules, in order: units with the baseline first; a worker
/// keeps its group of variants, whose edited weights it holds, but not where that would leave a
/// much longer unit to the very end; else it takes the group with the most work per worker already
/// on it; within a group the longest unit first.
class Schedule {
 public:
  /// `open` are the indices in plan.units that still have work.
  Schedule(const Plan& plan, const std::vector<int32_t>& open);

  /// Says of a unit whether it may be dealt now.
  using Fits = std::function<bool(int32_t unit)>;

  /// Takes a unit for `worker`; nothing when no unit is open, or none that `fits` (empty: all do).
  std::optional<int32_t> next(int32_t worker, const Fits& fits = {});

  /// The unit's records are committed, or it is given up.
  void complete(int32_t unit);
  /// The unit goes back: its worker failed or left.
  void give_back(int32_t unit);

  /// No unit is open or leased.
  bool is_done() const { return num_open_ == 0 && num_leased_ == 0; }
  bool has_open() const { return num_open_ > 0; }
  /// Estimated FLOPs of open and leased units.
  double remaining_flops() const { return remaining_flops_; }

 private:
  using OpenUnits = std::set<std::pair<double, int32_t>>;  // (-flops, unit): longest first

  struct Group {
    bool has_baseline = false;
    double open_flops = 0;
    OpenUnits open;
    std::set<int32_t> workers;
  };

  /// The longest unit of a group that fits; the end when none does.
  static OpenUnits::const_iterator longest(const OpenUnits& open, const Fits& fits);
  /// The group whose next unit must not wait any longer, if there is one.
  std::optional<size_t> urgent_group(const Group& own, const Fits& fits) const;
  std::optional<size_t> group_for(int32_t worker, const Fits& fits) const;

  const Plan* plan_;
  std::vector<Group> groups_;
  std::vector<size_t> group_of_unit_;
  std::map<int32_t, size_t> group_of_worker_;
  int64_t num_open_ = 0;
  int64_t num_leased_ = 0;
  double remaining_flops_ = 0;
};

}  // namespace prune_sweep
