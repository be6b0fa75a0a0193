/// \file
/// The functions of GraphTable.
#pragma once

#include "engine/cuda/kernel_table.hpp"

namespace prune_sweep {

const GraphTable& cuda_graphs();

}  // namespace prune_sweep
