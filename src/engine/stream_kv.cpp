#include "engine/stream_kv.hpp"

#include <ATen/ATen.h>

#include <array>
#include <cstring>
#include <type_traits>

#include "engine/lanes.hpp"
#include "engine/team.hpp"
#include "engine/tile_types.hpp"
#include "engine/transpose.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;
using tiles::Arithmetic;
using tiles::Word;

constexpr int64_t kPositions = KvLayout::kPositions;

int64_t blocks_up(int64_t positions) { return (positions + kPositions - 1) / kPositions; }

/// Where the rows of a block are: of one head, one row for each position; nullptr where there is
/// none.
template <typename T>
using BlockRows = std::array<const T*, kPositions>;

template <typename T, typename C>
PRUNE_SWEEP_INLINE void fill_keys_from(const BlockRows<T>& rows, int64_t head_dim, Word* to) {
  const int64_t width = tiles::words<C>(head_dim);
  for (int64_t position = 0; position < kPositions; position += kLanes) {
    for (int64_t first = 0; first < width; first += kLanes) {
      const int64_t count = width - first < kLanes ? width - first : kLanes;
      LaneSquare square{};
      for (int64_t i = 0; i < kLanes; ++i) {
        const T* row = rows[static_cast<size_t>(position + i)];
        if (row == nullptr) continue;
        LaneBits& lanes = square[static_cast<size_t>(i)];
        if constexpr (std::is_same_v<T, C>) {
          const int64_t elements = head_dim - first * tiles::kPerWord<C>;
          const int64_t bytes = static_cast<int64_t>(sizeof(T)) * elements;
          std::memcpy(
              &lanes,
              row + first * tiles::kPerWord<C>,
              static_cast<size_t>(bytes < 64 ? bytes : 64));
        } else {
          lanes = to_bits(load(row + first, count));
        }
      }
      transpose(square);
      for (int64_t i = 0; i < count; ++i) {
        std::memcpy(to + (first + i) * kPositions + position, &square[static_cast<size_t>(i)], 64);
      }
    }
  }
}

template <typename T, typename C>
PRUNE_SWEEP_INLINE void fill_values_from(const BlockRows<T>& rows, int64_t head_dim, Word* to) {
  for (int64_t position = 0; position < kPositions; position += tiles::kPerWord<C>) {
    const T* row = rows[static_cast<size_t>(position)];
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      const int64_t count = head_dim - i;
      const Lanes first = row != nullptr ? load(row + i, count) : Lanes{};
      LaneBits words;
      if constexpr (std::is_same_v<C, BFloat16>) {
        const T* next = rows[static_cast<size_t>(position + 1)];
        const Lanes second = next != nullptr ? load(next + i, count) : Lanes{};
        words = ((to_bits(first) >> 16) & 0xffff) | to_bits(second);
      } else {
        words = to_bits(first);
      }
      std::memcpy(
          to + position / tiles::kPerWord<C> * head_dim + i,
          &words,
          sizeof(Word) * static_cast<size_t>(count < kLanes ? count : kLanes));
    }
  }
}

PRUNE_SWEEP_CLONES void fill_block(
    float,
    const BlockRows<float>& k,
    const BlockRows<float>& v,
    int64_t head_dim,
    Word* keys,
    Word* values) {
  fill_keys_from<float, float>(k, head_dim, keys);
  fill_values_from<float, float>(v, head_dim, values);
}
PRUNE_SWEEP_CLONES void fill_block(
    float,
    const BlockRows<BFloat16>& k,
    const BlockRows<BFloat16>& v,
    int64_t head_dim,
    Word* keys,
    Word* values) {
  fill_keys_from<BFloat16, float>(k, head_dim, keys);
  fill_values_from<BFloat16, float>(v, head_dim, values);
}
PRUNE_SWEEP_CLONES void fill_block(
    BFloat16,
    const BlockRows<BFloat16>& k,
    const BlockRows<BFloat16>& v,
    int64_t head_dim,
    Word* keys,
    Word* values) {
  fill_keys_from<BFloat16, BFloat16>(k, head_dim, keys);
  fill_values_from<BFloat16, BFloat16>(v, head_dim, values);
}

}  // namespace

KvLayout::KvLayout(const PackedRows& packed)
    : packed_(packed), num_shared_(packed.prefix_len / kPositions), num_blocks_(num_shared_) {
  const auto add_run = [&](int64_t length) {
    first_own_block_.push_back(num_blocks_);
    num_blocks_ += blocks_up(length) - num_shared_;
  };
  for (const PackedRows::Run& run : packed.sequences) add_run(packed.prefix_len + run.num_rows);
  if (packed.prefix_len > 0) add_run(packed.prefix_len);
}

template <typename T, typename C>
void StreamKv::fill_blocks(const at::Tensor& k, const at::Tensor& v, const KvLayout& layout) {
  const PackedRows& packed = layout.packed();
  struct Block {
    int64_t run;
    int64_t first;  ///< position
    int64_t index;
  };
  std::vector<Block> blocks;
  const auto num_sequences = std::ssize(packed.sequences);
  const auto length_of = [&](int64_t run) {
    return packed.prefix_len +
           (run < num_sequences ? packed.sequences[static_cast<size_t>(run)].num_rows : 0);
  };
  for (int64_t i = 0; i < layout.num_shared_blocks(); ++i) blocks.push_back({0, i * kPositions, i});
  for (int64_t run = 0; run < layout.num_runs(); ++run) {
    for (int64_t i = layout.num_shared_blocks(); i < blocks_up(length_of(run)); ++i) {
      blocks.push_back({run, i * kPositions, layout.block_of(run, i)});
    }
  }
  const int64_t row_size = kv_heads_ * head_dim_;
  const T* const all_k = k.const_data_ptr<T>();
  const T* const all_v = v.const_data_ptr<T>();
  const auto num_blocks = std::ssize(blocks);
  share_tasks(kv_heads_ * num_blocks, 4, [&](TaskCounter& counter) {
    BlockRows<T> k_rows;
    BlockRows<T> v_rows;
    for (int64_t task = 0; counter.take(task);) {
      const auto& [run, first, index] = blocks[static_cast<size_t>(task % num_blocks)];
      const int64_t kv_head = task / num_blocks;
      for (int64_t i = 0; i < kPositions; ++i) {
        const auto at = static_cast<size_t>(i);
        k_rows[at] = v_rows[at] = nullptr;
        if (first + i >= length_of(run)) continue;
        const int64_t row =
            run < num_sequences ? packed.row_of(static_cast<size_t>(run), first + i) : first + i;
        k_rows[at] = all_k + row * row_size + kv_head * head_dim_;
        v_rows[at] = all_v + row * row_size + kv_head * head_dim_;
      }
      Word* const to = words() + (kv_head * num_blocks_ + index) * (key_words_ + value_words_);
      fill_block(C{}, k_rows, v_rows, head_dim_, to, to + key_words_);
    }
  });
}

void StreamKv::fill(const at::Tensor& k, const at::Tensor& v, const KvLayout& layout) {
  kv_heads_ = k.size(1);
  head_dim_ = k.size(2);
  arithmetic_ = tiles::arithmetic_of(k.scalar_type());
  const bool is_bfloat16 = arithmetic_ == Arithmetic::kBfloat16;
  num_blocks_ = layout.num_blocks();
  key_words_ = kPositions *
               (is_bfloat16 ? tiles::words<BFloat16>(head_dim_) : tiles::words<float>(head_dim_));
  value_words_ = head_dim_ * (is_bfloat16 ? tiles::words<BFloat16>(kPositions)
                                          : tiles::words<float>(kPositions));
  const int64_t needed = kv_heads_ * num_blocks_ * (key_words_ + value_words_);
  if (!words_.defined() || words_.numel() < needed) words_ = at::empty({needed}, at::kInt);
  with_tile_types(k.scalar_type(), arithmetic_, [&](auto stored, auto multiplied) {
    fill_blocks<decltype(stored), decltype(multiplied)>(k, v, layout);
  });
}

}  // namespace prune_sweep
