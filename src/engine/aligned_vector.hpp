/// \file
/// Vectors for operands of products: rows that begin with a cache line are loaded twice as fast.
/// Elements that are not given a value have none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

namespace prune_sweep {

inline constexpr size_t kCacheLineBytes = 64;

template <typename T>
struct CacheLineAllocator {
  using value_type = T;

  CacheLineAllocator() = default;
  template <typename U>
  explicit CacheLineAllocator(const CacheLineAllocator<U>&) {}

  T* allocate(size_t count) {
    return static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{kCacheLineBytes}));
  }
  void deallocate(T* memory, size_t) {
    ::operator delete (memory, std::align_val_t{kCacheLineBytes});
  }
  template <typename U, typename... Arguments>
  void construct(U* element, Arguments&&... arguments) {
    if constexpr (sizeof...(Arguments) > 0) {
      ::new (static_cast<void*>(element)) U(std::forward<Arguments>(arguments)...);
    }
  }
  bool operator==(const CacheLineAllocator&) const { return true; }
};

template <typename T>
using AlignedVector = std::vector<T, CacheLineAllocator<T>>;

/// Elements from a row of `width` to the next: whole cache lines, and one more, since rows a power
/// of two apart would meet in few sets of the cache.
template <typename T>
constexpr int64_t row_stride(int64_t width) {
  constexpr auto kLine = static_cast<int64_t>(kCacheLineBytes / sizeof(T));
  return (width + kLine - 1) / kLine * kLine + kLine;
}

}  // namespace prune_sweep
