#include "engine/zeros.hpp"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "engine/lanes.hpp"

namespace prune_sweep {

namespace {

/// A weight as stored, at any alignment, and as computed with.
template <typename Stored, typename Word>
struct Source {
  const char* stored;
  const Word* words;
  int64_t width;
};

/// Elements that are taken together, in registers of 64 bytes.
template <typename Stored, typename Word>
constexpr int64_t kTogether = 64 / std::max(sizeof(Stored), sizeof(Word));

template <typename Word, int64_t kCount>
struct VectorOf {
  using Type __attribute__((vector_size(kCount * sizeof(Word)))) = Word;
};

/// The first `count` of elements that are taken together, zero where the magnitude is below
/// `least`. With kAreSame what is computed with is what is stored, and read once.
template <bool kAreSame, typename Stored, typename Word>
PRUNE_SWEEP_INLINE void copy_some(
    const char* stored, const Word* from, int64_t count, Stored least, Word* to) {
  constexpr int64_t kCount = kTogether<Stored, Word>;
  using StoredVector = typename VectorOf<Stored, kCount>::Type;
  using WordVector = typename VectorOf<Word, kCount>::Type;
  using Kept = typename VectorOf<std::make_signed_t<Stored>, kCount>::Type;
  using KeptWords = typename VectorOf<std::make_signed_t<Word>, kCount>::Type;
  constexpr auto kMagnitude = static_cast<Stored>(static_cast<Stored>(~Stored{0}) >> 1);
  const auto bytes = [count](auto word) PRUNE_SWEEP_INLINE_LAMBDA {
    return count < kCount ? static_cast<size_t>(count) * sizeof word : kCount * sizeof word;
  };
  StoredVector magnitudes{};
  WordVector words{};
  std::memcpy(&words, from, bytes(Word{}));
  if constexpr (kAreSame && std::is_same_v<Stored, Word>) {
    magnitudes = words;
  } else {
    std::memcpy(&magnitudes, stored, bytes(Stored{}));
  }
  const Kept kept = (magnitudes & kMagnitude) >= least;
  words &= std::bit_cast<WordVector>(__builtin_convertvector(kept, KeptWords));
  std::memcpy(to, &words, bytes(Word{}));
}

template <bool kAreSame, typename Stored, typename Word>
PRUNE_SWEEP_INLINE void copy_above(
    const char* stored, const Word* from, int64_t count, Stored least, Word* to) {
  constexpr int64_t kCount = kTogether<Stored, Word>;
  const auto copy = [=](int64_t i, int64_t some) PRUNE_SWEEP_INLINE_LAMBDA {
    const char* const at = stored + i * static_cast<int64_t>(sizeof(Stored));
    copy_some<kAreSame>(at, from + i, some, least, to + i);
  };
  int64_t i = 0;
  for (; i + kCount <= count; i += kCount) copy(i, kCount);
  if (i < count) copy(i, count - i);
}

template <bool kAreSame, typename Stored, typename Word>
PRUNE_SWEEP_INLINE void copy_block(
    const Source<Stored, Word>& source,
    const std::vector<ZeroCut>& cuts,
    RowRange rows,
    Word* to,
    int64_t to_stride) {
  const bool is_one = cuts.size() == 1;
  for (int64_t row = rows.first; row < rows.first + rows.count; ++row, to += to_stride) {
    const ZeroCut& cut = cuts[is_one ? 0 : static_cast<size_t>(row)];
    const int64_t first = row * source.width;
    const int64_t place = is_one ? first : 0;
    const char* const stored = source.stored + first * static_cast<int64_t>(sizeof(Stored));
    const Word* const from = source.words + first;
    // Up to here what equals the cut's magnitude is zeroed. The sign's bit is free, so one more is
    // no overflow.
    const int64_t end = std::clamp<int64_t>(cut.first_kept - place, 0, source.width);
    const auto least = static_cast<Stored>(cut.magnitude);
    copy_above<kAreSame>(stored, from, end, static_cast<Stored>(least + 1), to);
    copy_above<kAreSame>(
        stored + end * static_cast<int64_t>(sizeof(Stored)),
        from + end,
        source.width - end,
        least,
        to + end);
  }
}

#define PRUNE_SWEEP_COPY_BLOCK(Stored, Word)                            \
  PRUNE_SWEEP_CLONES void copy_zeroed(                                  \
      const Source<Stored, Word>& source,                               \
      const std::vector<ZeroCut>& cuts,                                 \
      RowRange rows,                                                    \
      Word* to,                                                         \
      int64_t to_stride) {                                              \
    if (reinterpret_cast<const char*>(source.words) == source.stored) { \
      copy_block<true>(source, cuts, rows, to, to_stride);              \
    } else {                                                            \
      copy_block<false>(source, cuts, rows, to, to_stride);             \
    }                                                                   \
  }
PRUNE_SWEEP_COPY_BLOCK(uint16_t, uint16_t)
PRUNE_SWEEP_COPY_BLOCK(uint16_t, uint32_t)
PRUNE_SWEEP_COPY_BLOCK(uint32_t, uint16_t)
PRUNE_SWEEP_COPY_BLOCK(uint32_t, uint32_t)
#undef PRUNE_SWEEP_COPY_BLOCK

}  // namespace

std::optional<uint32_t> WeightZeros::least_kept(int64_t width, RowRange rows) const {
  if (cuts.size() != 1) return std::nullopt;
  const auto& [magnitude, first_kept] = cuts.front();
  if (rows.first * width >= first_kept) return magnitude;
  if ((rows.first + rows.count) * width <= first_kept) return magnitude + 1;
  return std::nullopt;
}

template <typename T>
void WeightZeros::copy(
    const T* weight, int64_t width, RowRange rows, T* to, int64_t to_stride) const {
  using Word = std::conditional_t<sizeof(T) == 2, uint16_t, uint32_t>;
  const auto copy_of = [&](auto word) {
    const Source<decltype(word), Word> source{stored, reinterpret_cast<const Word*>(weight), width};
    copy_zeroed(source, cuts, rows, reinterpret_cast<Word*>(to), to_stride);
  };
  if (stored_bytes == 2) return copy_of(uint16_t{});
  copy_of(uint32_t{});
}
template void WeightZeros::copy(
    const c10::BFloat16*, int64_t, RowRange, c10::BFloat16*, int64_t) const;
template void WeightZeros::copy(const c10::Half*, int64_t, RowRange, c10::Half*, int64_t) const;
template void WeightZeros::copy(const float*, int64_t, RowRange, float*, int64_t) const;

}  // namespace prune_sweep
