#include "engine/pruners/magnitude_zeros.hpp"

#include <ATen/ATen.h>

#include <bit>
#include <cstring>

#include "engine/lanes.hpp"

namespace prune_sweep {

namespace {

template <typename Word>
PRUNE_SWEEP_INLINE bool is_equal(const char* stored, int64_t i, Word magnitude) {
  Word word;
  std::memcpy(&word, stored + i * static_cast<int64_t>(sizeof word), sizeof word);
  return static_cast<Word>(word << 1) == static_cast<Word>(magnitude << 1);
}

/// How many of the kBlock words at `stored` have this magnitude.
template <int64_t kBlock, typename Word>
PRUNE_SWEEP_INLINE int64_t count_equal(const char* stored, Word magnitude) {
  constexpr auto kTogether = static_cast<int64_t>(64 / sizeof(Word));
  using Words __attribute__((vector_size(64))) = Word;
  // A lane sees kBlock / kTogether words, which it can count.
  Words counts{};
  for (int64_t i = 0; i < kBlock; i += kTogether) {
    Words words;
    std::memcpy(&words, stored + i * static_cast<int64_t>(sizeof(Word)), sizeof words);
    counts -= std::bit_cast<Words>((words << 1) == static_cast<Word>(magnitude << 1));
  }
  int64_t equal = 0;
  for (int64_t lane = 0; lane < kTogether; ++lane) equal += counts[lane];
  return equal;
}

template <typename Word>
PRUNE_SWEEP_INLINE int64_t
find_end(const char* stored, int64_t count, Word magnitude, int64_t num) {
  constexpr int64_t kBlock = 2048;
  int64_t first = 0;
  for (; num > 0 && first + kBlock <= count; first += kBlock) {
    const int64_t equal =
        count_equal<kBlock>(stored + first * static_cast<int64_t>(sizeof(Word)), magnitude);
    if (equal >= num) break;
    num -= equal;
  }
  while (num > 0 && first < count) num -= is_equal(stored, first++, magnitude) ? 1 : 0;
  return first;
}

}  // namespace

PRUNE_SWEEP_CLONES int64_t
end_of_equal(uint16_t, const char* stored, int64_t count, uint32_t magnitude, int64_t num) {
  return find_end(stored, count, static_cast<uint16_t>(magnitude), num);
}
PRUNE_SWEEP_CLONES int64_t
end_of_equal(uint32_t, const char* stored, int64_t count, uint32_t magnitude, int64_t num) {
  return find_end(stored, count, magnitude, num);
}

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
