/// \file
/// The machine that this process runs on.
#pragma once

#include <string>

namespace prune_sweep {

/// Its name; "unknown" when the system does not tell.
std::string host_name();

}  // namespace prune_sweep
