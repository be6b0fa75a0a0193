#include "engine/panels.hpp"

#include <array>
#include <cstring>
#include <vector>

#include "engine/lanes.hpp"
#include "engine/team.hpp"
#include "engine/tile_types.hpp"
#include "engine/transpose.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;
using tiles::Word;

constexpr int64_t kTogether = 16;  // rows that are transposed together

PRUNE_SWEEP_CLONES void to_columns(
    const std::array<const Word*, kTogether>& rows, int64_t width, Word* to, int64_t to_stride) {
  transpose_rows(rows, width, to, to_stride);
}

template <typename C>
void pack(const C* rows, int64_t stride, int64_t count, int64_t width, Word* to, int64_t columns) {
  const int64_t num_words = tiles::words<C>(width);
  const bool has_whole_words = width % tiles::kPerWord<C> == 0;
  // Zeros stand for the rows that are not there, and behind a row of an odd number of halves.
  std::vector<Word> scratch;
  if (!has_whole_words || count < columns) {
    scratch.assign(static_cast<size_t>((kTogether + 1) * num_words), 0);
  }
  for (int64_t first = 0; first < columns; first += kTogether) {
    std::array<const Word*, kTogether> sources{};
    for (int64_t i = 0; i < kTogether; ++i) {
      const C* row = rows + (first + i) * stride;
      const Word*& source = sources[static_cast<size_t>(i)];
      if (first + i >= count) {
        source = scratch.data() + kTogether * num_words;
      } else if (has_whole_words) {
        source = reinterpret_cast<const Word*>(row);
      } else {
        Word* const own = scratch.data() + i * num_words;
        std::memcpy(own, row, sizeof(C) * static_cast<size_t>(width));
        source = own;
      }
    }
    to_columns(sources, num_words, to + first, columns);
  }
}

}  // namespace

void pack_panel(
    const float* rows, int64_t stride, int64_t count, int64_t width, Word* to, int64_t columns) {
  pack(rows, stride, count, width, to, columns);
}
void pack_panel(
    const BFloat16* rows, int64_t stride, int64_t count, int64_t width, Word* to, int64_t columns) {
  pack(rows, stride, count, width, to, columns);
}

Panels::Panels(const ProductRows& rows) : Panels(rows, std::array{RowRange{0, rows.num_rows()}}) {}

Panels::Panels(const ProductRows& rows, std::span<const RowRange> ranges)
    : arithmetic_(rows.arithmetic()), width_(rows.width()) {
  for (const auto& [first, count] : ranges) {
    for (int64_t i = 0; i < count; i += kRows) {
      rows_.push_back({first + i, std::min(kRows, count - i)});
    }
  }
  with_multiplied_type(rows.arithmetic(), [&](auto zero) {
    using C = decltype(zero);
    num_words_ = tiles::words<C>(width_);
    words_.resize(static_cast<size_t>(size() * kRows * num_words_));
    share_tasks(size(), 1, [&](TaskCounter& counter) {
      for (int64_t index = 0; counter.take(index);) {
        const RowRange range = rows_of(index);
        pack_panel(
            rows.row<C>(range.first),
            rows.stride(),
            range.count,
            width_,
            words_.data() + index * num_words_ * kRows,
            columns(index));
      }
    });
  });
}

}  // namespace prune_sweep
