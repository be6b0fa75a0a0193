/// \file
/// The CUDA half of libtorch, which only those who compute on a GPU load.
#pragma once

namespace prune_sweep {

/// Loads it from where libtorch lies. Throws Error (kBadInput) saying what is missing: the library,
/// a driver for it, or a device.
void load_cuda_library();

}  // namespace prune_sweep
