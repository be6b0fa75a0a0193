#include "prune_sweep/sweep/fault_log.hpp"

#include <algorithm>

namespace prune_sweep {

namespace {

constexpr size_t kMaxFaults = 3;
constexpr double kWindow_s = 600;

}  // namespace

void FaultLog::add(int32_t unit, double now_s) {
  std::erase_if(faults_, [&](const Fault& fault) { return now_s - fault.at_s > kWindow_s; });
  forgive(unit);
  faults_.push_back({unit, now_s});
}

void FaultLog::forgive(int32_t unit) {
  std::erase_if(faults_, [&](const Fault& fault) { return fault.unit == unit; });
}

bool FaultLog::is_device_suspect() const { return faults_.size() >= kMaxFaults; }

}  // namespace prune_sweep
