/// \file
/// Memory that is read again and again, with fewer walks through page tables.
#pragma once

#include <cstddef>

namespace prune_sweep {

/// Asks the system for large pages where whole ones fit. Advice: pages that are there stay as they
/// are, and not every system or file system has any. Of a file, whoever first brings it into the
/// page cache decides.
void advise_large_pages(const void* start, size_t num_bytes);

}  // namespace prune_sweep
