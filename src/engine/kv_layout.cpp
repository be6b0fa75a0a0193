#include "engine/kv_layout.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>
#include <utility>

#include "engine/lanes.hpp"
#include "engine/team.hpp"
#include "engine/tile_types.hpp"
#include "engine/transpose.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;
using tiles::Word;

constexpr int64_t kPositions = KvBlocks::kPositions;

/// Where the rows of a block are: of one head, one row for each position; nullptr where there is
/// none.
template <typename T>
struct BlockRows {
  std::array<const T*, kPositions> at;
  int64_t count = 0;  ///< positions of the block
};

/// Words [first, first + 16) of a row of `head_dim` elements, zeros behind it.
template <typename T, typename C>
PRUNE_SWEEP_INLINE LaneBits words_of(const T* row, int64_t first, int64_t head_dim) {
  const int64_t element = first * tiles::kPerWord<C>;
  if constexpr (std::is_same_v<T, C>) {
    LaneBits lanes{};
    const int64_t bytes = static_cast<int64_t>(sizeof(T)) * (head_dim - element);
    if (bytes >= 64) {
      std::memcpy(&lanes, row + element, 64);
    } else {
      std::memcpy(&lanes, row + element, static_cast<size_t>(bytes));
    }
    return lanes;
  } else {
    return to_bits(load(row + element, head_dim - element));
  }
}

template <typename T, typename C>
PRUNE_SWEEP_INLINE void fill_keys_from(const BlockRows<T>& rows, int64_t head_dim, Word* to) {
  const int64_t width = tiles::words<C>(head_dim);
  for (int64_t position = 0; position < rows.count; position += kLanes) {
    for (int64_t first = 0; first < width; first += kLanes) {
      const int64_t count = width - first < kLanes ? width - first : kLanes;
      LaneSquare square;
      for (int64_t i = 0; i < kLanes; ++i) {
        const T* row = rows.at[static_cast<size_t>(position + i)];
        square[static_cast<size_t>(i)] =
            row != nullptr ? words_of<T, C>(row, first, head_dim) : LaneBits{};
      }
      transpose(square);
      for (int64_t i = 0; i < count; ++i) {
        std::memcpy(to + (first + i) * rows.count + position, &square[static_cast<size_t>(i)], 64);
      }
    }
  }
}

/// Pairs (a[i], b[i]) of all 32 halves as 32 words.
PRUNE_SWEEP_INLINE void store_pairs(const BFloat16* a, const BFloat16* b, Word* to) {
  using Halves = uint16_t __attribute__((vector_size(64)));
  Halves first;
  Halves second;
  std::memcpy(&first, a, sizeof first);
  std::memcpy(&second, b, sizeof second);
  const auto pairs = [&]<int... i>(std::integer_sequence<int, i...>, auto begin)
      PRUNE_SWEEP_INLINE_LAMBDA {
    return __builtin_shufflevector(first, second, (begin + i / 2 + i % 2 * 32)...);
  };
  constexpr auto kAll = std::make_integer_sequence<int, 32>{};
  const Halves low = pairs(kAll, std::integral_constant<int, 0>{});
  const Halves high = pairs(kAll, std::integral_constant<int, 16>{});
  std::memcpy(to, &low, sizeof low);
  std::memcpy(to + kLanes, &high, sizeof high);
}

template <typename T, typename C>
PRUNE_SWEEP_INLINE void fill_values_from(const BlockRows<T>& rows, int64_t head_dim, Word* to) {
  for (int64_t position = 0; position < rows.count; position += tiles::kPerWord<C>) {
    const T* row = rows.at[static_cast<size_t>(position)];
    Word* const words_at = to + position / tiles::kPerWord<C> * head_dim;
    int64_t i = 0;
    if constexpr (std::is_same_v<C, BFloat16>) {
      const T* next = rows.at[static_cast<size_t>(position + 1)];
      for (; row != nullptr && next != nullptr && i + 2 * kLanes <= head_dim; i += 2 * kLanes) {
        store_pairs(row + i, next + i, words_at + i);
      }
    }
    for (; i < head_dim; i += kLanes) {
      const int64_t count = head_dim - i;
      const Lanes first = row != nullptr ? load(row + i, count) : Lanes{};
      LaneBits words;
      if constexpr (std::is_same_v<C, BFloat16>) {
        const T* next = rows.at[static_cast<size_t>(position + 1)];
        const Lanes second = next != nullptr ? load(next + i, count) : Lanes{};
        words = ((to_bits(first) >> 16) & 0xffff) | to_bits(second);
      } else {
        words = to_bits(first);
      }
      std::memcpy(
          words_at + i,
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

KvLayout::KvLayout(const PackedRows& packed, Rows rows)
    : packed_(packed),
      rows_(rows),
      num_shared_(packed.prefix_len / kPositions),
      num_columns_(num_shared_ * kPositions) {
  const auto num_runs = std::ssize(packed.sequences) + (packed.prefix_len > 0 ? 1 : 0);
  for (int64_t run = 0; run < num_runs; ++run) {
    first_own_column_.push_back(num_columns_);
    num_columns_ += KvBlocks::steps_up(run_length(run) - num_shared_ * kPositions);
  }
}

int64_t KvLayout::run_length(int64_t run) const {
  if (run == std::ssize(packed_.sequences)) return packed_.prefix_len;
  const PackedRows::Run& sequence = packed_.sequences[static_cast<size_t>(run)];
  return packed_.prefix_len + (rows_ == Rows::kAll ? sequence.num_rows : sequence.num_kept);
}

KvBlocks::Block KvLayout::block_of(int64_t run, int64_t index) const {
  if (index < num_shared_) return {index * kPositions, kPositions};
  return KvBlocks::block_of(
      first_own_column_[static_cast<size_t>(run)],
      run_length(run) - num_shared_ * kPositions,
      index - num_shared_);
}

namespace {

/// Some positions of a run, and where they go.
struct Filled {
  int64_t run;
  int64_t first;
  KvBlocks::Block block;
};

std::vector<Filled> blocks_to_fill(const KvLayout& layout) {
  std::vector<Filled> blocks;
  const auto add = [&](int64_t run, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      blocks.push_back({run, i * kPositions, layout.block_of(run, i)});
    }
  };
  add(0, 0, layout.num_shared_blocks());
  for (int64_t run = 0; run < layout.num_runs(); ++run) {
    add(run, layout.num_shared_blocks(), KvBlocks::num_blocks(layout.run_length(run)));
  }
  return blocks;
}

template <typename T, typename C>
void fill_blocks(KvBlocks& to, const at::Tensor& k, const at::Tensor& v, const KvLayout& layout) {
  const PackedRows& packed = layout.packed();
  const auto num_sequences = std::ssize(packed.sequences);
  const std::vector<Filled> blocks = blocks_to_fill(layout);
  const int64_t kv_heads = to.kv_heads();
  const int64_t head_dim = to.head_dim();
  const T* const all_k = k.const_data_ptr<T>();
  const T* const all_v = v.const_data_ptr<T>();
  const auto num_blocks = std::ssize(blocks);
  share_tasks(kv_heads * num_blocks, 4, [&](TaskCounter& counter) {
    BlockRows<T> k_rows;
    BlockRows<T> v_rows;
    for (int64_t task = 0; counter.take(task);) {
      const auto& [run, first, block] = blocks[static_cast<size_t>(task % num_blocks)];
      const int64_t kv_head = task / num_blocks;
      k_rows.count = v_rows.count = block.count;
      for (int64_t i = 0; i < block.count; ++i) {
        const auto at = static_cast<size_t>(i);
        k_rows.at[at] = v_rows.at[at] = nullptr;
        if (first + i >= layout.run_length(run)) continue;
        const int64_t row =
            run < num_sequences ? packed.row_of(static_cast<size_t>(run), first + i) : first + i;
        k_rows.at[at] = all_k + (row * kv_heads + kv_head) * head_dim;
        v_rows.at[at] = all_v + (row * kv_heads + kv_head) * head_dim;
      }
      fill_block(C{}, k_rows, v_rows, head_dim, to.keys(kv_head, block), to.values(kv_head, block));
    }
  });
}

}  // namespace

void fill(KvBlocks& blocks, const at::Tensor& k, const at::Tensor& v, const KvLayout& layout) {
  blocks.reserve(k.size(1), k.size(2), layout.num_columns(), k.scalar_type());
  with_tile_types(k.scalar_type(), blocks.arithmetic(), [&](auto stored, auto multiplied) {
    fill_blocks<decltype(stored), decltype(multiplied)>(blocks, k, v, layout);
  });
}

}  // namespace prune_sweep
