#include "prune_sweep/core/host.hpp"

#include <unistd.h>

#include <array>

namespace prune_sweep {

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

}  // namespace prune_sweep
