/// \file
/// Memory that was used once stays the process's: large tensors come and go with every layer, and
/// the system would clear each page anew.
#pragma once

namespace prune_sweep {

/// From now on memory that is freed is kept, and tensors on the CPU are made of it. Once, before
/// there are threads.
void keep_memory();

}  // namespace prune_sweep
