#include "engine/panels.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "engine/kernel_loops.hpp"
#include "engine/lanes.hpp"
#include "engine/team.hpp"
#include "engine/transpose.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;
using tiles::Word;

PRUNE_SWEEP_CLONES void widen(const BFloat16* row, int64_t width, Word* to) {
  auto* wide = reinterpret_cast<float*>(to);
  for (int64_t i = 0; i < width; i += kLanes) store(wide + i, load(row + i, width - i), width - i);
}

PRUNE_SWEEP_CLONES void to_columns(
    const std::array<const Word*, 16>& rows, int64_t width, Word* to, int64_t to_stride) {
  transpose_rows(rows, width, to, to_stride);
}

/// Packs rows in sixteens, each thread with scratch of its own.
template <typename T>
class Packer {
 public:
  Packer(
      const T* rows,
      int64_t width,
      int64_t num_words,
      tiles::Arithmetic arithmetic,
      const RowNorm& norm)
      : rows_(rows),
        width_(width),
        num_words_(num_words),
        is_widened_(std::is_same_v<T, BFloat16> && arithmetic == tiles::Arithmetic::kFloat32),
        weight_(norm.weight.defined() ? norm.weight.const_data_ptr<T>() : nullptr),
        eps_(static_cast<float>(norm.eps)) {}

  /// Rows [first, first + count) into the first sixteen columns at `to`.
  void pack(int64_t first, int64_t count, Word* to, int64_t columns) {
    // Zeros stand for the rows that are not there, and behind a row of an odd number of halves.
    scratch_.assign(static_cast<size_t>(16 * num_words_), 0);
    std::array<const Word*, 16> rows{};
    for (int64_t i = 0; i < 16; ++i) {
      Word* own = scratch_.data() + i * num_words_;
      rows[static_cast<size_t>(i)] = i < count ? row(first + i, own) : own;
    }
    to_columns(rows, num_words_, to, columns);
  }

 private:
  const Word* row(int64_t index, Word* own) {
    const T* from = rows_ + index * width_;
    if (weight_ != nullptr) {
      normed_.resize(static_cast<size_t>(width_));
      rms_norm_rows(from, weight_, normed_.data(), 1, width_, eps_);
      from = normed_.data();
    } else if (!is_widened_ && width_ % tiles::kPerWord<T> == 0) {
      return reinterpret_cast<const Word*>(from);
    }
    if constexpr (std::is_same_v<T, BFloat16>) {
      if (is_widened_) {
        widen(from, width_, own);
        return own;
      }
    }
    std::memcpy(own, from, sizeof(T) * static_cast<size_t>(width_));
    return own;
  }

  const T* rows_;
  int64_t width_;
  int64_t num_words_;
  bool is_widened_;
  const T* weight_;
  float eps_;
  std::vector<Word> scratch_;
  std::vector<T> normed_;
};

}  // namespace

void Panels::reshape(int64_t rows, int64_t width) {
  rows_ = rows;
  width_ = width;
  num_words_ = arithmetic_ == tiles::Arithmetic::kBfloat16 ? tiles::words<BFloat16>(width)
                                                           : tiles::words<float>(width);
  const int64_t needed = size() * kRows * num_words_;
  if (!words_.defined() || words_.numel() < needed) words_ = at::empty({needed}, at::kInt);
}

void Panels::pack(const at::Tensor& rows, const RowNorm& norm) {
  reshape(rows.size(0), rows.size(1));
  constexpr int64_t kRowsAtOnce = 16;
  const int64_t num_groups = num_columns() / kRowsAtOnce;
  const int64_t grain = std::max<int64_t>(1, at::internal::GRAIN_SIZE / (kRowsAtOnce * width_));
  with_element_type(rows, [&](auto zero) {
    using T = decltype(zero);
    share_tasks(num_groups, grain, [&](TaskCounter& counter) {
      Packer<T> packer(rows.const_data_ptr<T>(), width_, num_words_, arithmetic_, norm);
      for (int64_t group = 0; counter.take(group);) {
        const int64_t first = group * kRowsAtOnce;
        const int64_t index = first / kRows;
        packer.pack(
            first,
            std::clamp<int64_t>(rows_ - first, 0, kRowsAtOnce),
            panel(index) + first % kRows,
            columns(index));
      }
    });
  });
}

}  // namespace prune_sweep
