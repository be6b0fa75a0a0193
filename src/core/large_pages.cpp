#include "prune_sweep/core/large_pages.hpp"

#include <sys/mman.h>

#include <cstdint>

namespace prune_sweep {

void advise_large_pages(const void* start, size_t num_bytes) {
  constexpr uintptr_t kLargePage = uintptr_t{2} << 20;
  const auto first = reinterpret_cast<uintptr_t>(start);
  const uintptr_t begin = (first + kLargePage - 1) / kLargePage * kLargePage;
  const uintptr_t end = (first + num_bytes) / kLargePage * kLargePage;
  if (begin >= end) return;
  // Whatever it answers, memory is as usable as before.
  static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE));
}

}  // namespace prune_sweep
