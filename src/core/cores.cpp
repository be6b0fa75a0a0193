#include "prune_sweep/core/cores.hpp"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

namespace prune_sweep {

namespace {

int32_t bound_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

/// Cores that a container's quota is worth; `most` without one.
int32_t quota_cores(int32_t most) {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0;
  double period = 0;
  if (!(file >> quota >> period) || period <= 0) return most;
  return std::clamp(static_cast<int32_t>(std::ceil(quota / period)), 1, most);
}

}  // namespace

void unbind_from_cores() {
  cpu_set_t all;
  std::memset(&all, 0xff, sizeof all);
  // What a cpuset does not have is left out by the kernel.
  ::sched_setaffinity(0, sizeof all, &all);
}

CoreCount count_cores() {
  cpu_set_t before;
  const bool is_known = ::sched_getaffinity(0, sizeof before, &before) == 0;
  CoreCount cores;
  cores.bound = bound_cores();
  unbind_from_cores();
  cores.usable = quota_cores(bound_cores());
  if (is_known) ::sched_setaffinity(0, sizeof before, &before);
  return cores;
}

}  // namespace prune_sweep
