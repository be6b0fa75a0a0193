/// \file
/// What only those load who compute on a GPU: the CUDA half of libtorch, and kernels of our own.
#pragma once

#include "engine/cuda/kernel_table.hpp"

namespace prune_sweep {

/// Loads it from where libtorch lies. Throws Error (kBadInput) saying what is missing: the library,
/// a driver for it, or a device.
void load_cuda_library();

/// The kernels of libprune_sweep_cuda.so beside the program or in ../lib; null where it is not
/// there. Throws Error (kBadInput) when it is there and cannot be used.
const KernelTable* load_cuda_kernels();

}  // namespace prune_sweep
