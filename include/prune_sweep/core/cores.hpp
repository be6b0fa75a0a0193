/// \file
/// Cores that a process may use.
#pragma once

#include <cstdint>

namespace prune_sweep {

struct CoreCount {
  int32_t usable = 1;  ///< of the host, as far as cpusets and CPU quotas of containers let it
  int32_t bound = 1;   ///< of these, the ones a launcher has bound this process to
};

/// Of this process. It is bound as before when the call returns.
CoreCount count_cores();

/// Lets this process and its children use every core that they may.
void unbind_from_cores();

}  // namespace prune_sweep
