#include "engine/pruners/magnitude_zeros.hpp"

#include <ATen/ATen.h>

#include <array>
#include <cstring>

#include "engine/lanes.hpp"

namespace prune_sweep {

namespace {

/// Elements that are taken together: a constant, so that the loops become vector operations.
constexpr int64_t kBlock = 256;

PRUNE_SWEEP_INLINE uint16_t magnitude_of(uint16_t word) {
  return static_cast<uint16_t>(word & 0x7fffU);
}
PRUNE_SWEEP_INLINE uint32_t magnitude_of(uint32_t word) { return word & 0x7fffffffU; }

template <typename Stored>
using Block = std::array<Stored, kBlock>;

/// Magnitudes of `count` words, of a whole block at most.
template <typename Stored>
PRUNE_SWEEP_INLINE void load_magnitudes(const char* stored, int64_t count, Block<Stored>& block) {
  std::memcpy(block.data(), stored, sizeof(Stored) * static_cast<size_t>(count));
  for (Stored& word : block) word = magnitude_of(word);
}

template <typename Stored>
PRUNE_SWEEP_INLINE int64_t num_equal(const Block<Stored>& magnitudes, Stored cut) {
  int32_t count = 0;
  for (const Stored magnitude : magnitudes) count += magnitude == cut ? 1 : 0;
  return count;
}

/// One after the other; takes the ties that it needs.
template <typename Stored, typename T>
PRUNE_SWEEP_INLINE void copy_in_order(
    const Block<Stored>& magnitudes,
    const T* from,
    int64_t count,
    Stored cut,
    int64_t& ties,
    T* to) {
  for (int64_t i = 0; i < count; ++i) {
    const Stored magnitude = magnitudes[static_cast<size_t>(i)];
    const bool is_zero = magnitude < cut || (magnitude == cut && ties-- > 0);
    to[i] = is_zero ? T{0} : from[i];
  }
}

template <typename Stored, typename T>
PRUNE_SWEEP_INLINE void copy_blocks(
    Stored, const char* stored, const T* from, int64_t count, uint32_t cut, int64_t ties, T* to) {
  const auto exact = static_cast<Stored>(cut);
  Block<Stored> magnitudes{};
  int64_t first = 0;
  for (; first + kBlock <= count; first += kBlock) {
    load_magnitudes(stored + first * static_cast<int64_t>(sizeof(Stored)), kBlock, magnitudes);
    const int64_t equal = ties > 0 ? num_equal(magnitudes, exact) : 0;
    if (equal > ties) {
      copy_in_order(magnitudes, from + first, kBlock, exact, ties, to + first);
      ties = 0;
      continue;
    }
    // The sign's bit is free, so one more is no overflow.
    const auto below = static_cast<Stored>(exact + (equal > 0 ? 1 : 0));
    ties -= equal;
    for (int64_t i = 0; i < kBlock; ++i) {
      // All ones where the element stays: a choice of values would become a jump.
      const auto kept =
          static_cast<T>(-static_cast<T>(magnitudes[static_cast<size_t>(i)] >= below));
      to[first + i] = static_cast<T>(from[first + i] & kept);
    }
  }
  load_magnitudes(stored + first * static_cast<int64_t>(sizeof(Stored)), count - first, magnitudes);
  copy_in_order(magnitudes, from + first, count - first, exact, ties, to + first);
}

}  // namespace

#define PRUNE_SWEEP_COPY_WITH_ZEROS(Stored, T)             \
  PRUNE_SWEEP_CLONES void copy_with_zeros(                 \
      Stored zero,                                         \
      const char* stored,                                  \
      const T* from,                                       \
      int64_t count,                                       \
      uint32_t cut,                                        \
      int64_t ties,                                        \
      T* to) {                                             \
    copy_blocks(zero, stored, from, count, cut, ties, to); \
  }
PRUNE_SWEEP_COPY_WITH_ZEROS(uint16_t, uint16_t)
PRUNE_SWEEP_COPY_WITH_ZEROS(uint16_t, uint32_t)
PRUNE_SWEEP_COPY_WITH_ZEROS(uint32_t, uint16_t)
PRUNE_SWEEP_COPY_WITH_ZEROS(uint32_t, uint32_t)
#undef PRUNE_SWEEP_COPY_WITH_ZEROS

namespace plain {

at::Tensor with_zeros(const at::Tensor& weights, int64_t cut, int64_t ties) {
  const at::Tensor magnitudes = weights.view(at::kShort).bitwise_and(0x7fff);
  at::Tensor is_zero = magnitudes.lt(cut);
  if (ties > 0) {
    const at::Tensor is_equal = magnitudes.eq(cut);
    const at::Tensor place = is_equal.flatten().cumsum(0, at::kInt).view_as(is_equal);
    is_zero.logical_or_(is_equal.logical_and_(place.le(ties)));
  }
  return weights.masked_fill(is_zero, 0);
}

}  // namespace plain

}  // namespace prune_sweep
