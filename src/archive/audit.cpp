#include <algorithm>
#include <map>
#include <utility>

#include "prune_sweep/archive/archive.hpp"

namespace prune_sweep {

void fill_idle(std::vector<UnitAudit>& units, const std::vector<double>& starts) {
  std::vector<UnitAudit*> in_time;
  for (UnitAudit& unit : units) in_time.push_back(&unit);
  std::stable_sort(in_time.begin(), in_time.end(), [](const UnitAudit* a, const UnitAudit* b) {
    return a->started_s < b->started_s;
  });
  std::map<int32_t, double> free_since;  // by rank
  for (UnitAudit* unit : in_time) {
    const auto own_start = std::find_if(
        starts.rbegin(), starts.rend(), [&](double start) { return start <= unit->started_s; });
    const double started = own_start == starts.rend() ? 0 : *own_start;
    const auto [rank, is_new] = free_since.try_emplace(unit->rank, started);
    unit->idle_s = std::max(0.0, unit->started_s - std::max(rank->second, started));
    rank->second = unit->started_s + unit->elapsed_s;
  }
}

double seconds_at_work(const std::vector<UnitAudit>& units) {
  std::vector<std::pair<double, double>> spans;
  for (const UnitAudit& unit : units) {
    spans.emplace_back(unit.started_s, unit.started_s + unit.elapsed_s);
  }
  std::sort(spans.begin(), spans.end());
  double total = 0;
  double end = 0;
  for (const auto& [first, last] : spans) {
    total += std::max(0.0, last - std::max(first, end));
    end = std::max(end, last);
  }
  return total;
}

}  // namespace prune_sweep
