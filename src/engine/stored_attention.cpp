#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "engine/aligned_vector.hpp"
#include "engine/attention.hpp"
#include "engine/attention_parts.hpp"
#include "engine/kernel_loops.hpp"
#include "engine/lanes.hpp"
#include "engine/team.hpp"
#include "engine/thin_product.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;

constexpr int64_t kPositions = KvBlocks::kPositions;
constexpr int64_t kStep = KvBlocks::kStep;
/// Rows of a product at most: bounds what is held of scores.
constexpr int64_t kMaxRows = 256;

/// Scores of a row: those of its prompt's whole blocks, of its last block, and of what was
/// generated, each with room for whole steps.
struct RowScores {
  float* whole;
  int64_t num_whole;
  float* last;
  int64_t num_last;
  float* generated;
  int64_t num_generated;
};

/// Scores to probabilities rounded to T, with zeros behind them: those of whole blocks as a
/// left-hand side, the others where they are.
template <typename T, typename C>
PRUNE_SWEEP_INLINE void softmax_stored_row(const RowScores& row, float scale, C* whole) {
  Lanes largest = largest_scores(row.whole, row.num_whole, scale, Lanes{} + kLowestScore);
  largest = largest_scores(row.last, row.num_last, scale, largest);
  largest = largest_scores(row.generated, row.num_generated, scale, largest);
  const float top = max(largest);
  Lanes total = powers_of_scores(row.whole, row.num_whole, scale, top, Lanes{});
  total = powers_of_scores(row.last, row.num_last, scale, top, total);
  total = powers_of_scores(row.generated, row.num_generated, scale, top, total);
  const float norm = 1.0F / sum(total);
  const auto store_own = [norm](float* scores, int64_t count) PRUNE_SWEEP_INLINE_LAMBDA {
    store_probabilities<T>(scores, count, norm, KvBlocks::steps_up(count), scores);
  };
  store_probabilities<T>(row.whole, row.num_whole, norm, row.num_whole, whole);
  store_own(row.last, row.num_last);
  store_own(row.generated, row.num_generated);
}
PRUNE_SWEEP_CLONES void softmax_stored(float, const RowScores& row, float scale, float* whole) {
  softmax_stored_row<float>(row, scale, whole);
}
PRUNE_SWEEP_CLONES void softmax_stored(BFloat16, const RowScores& row, float scale, float* whole) {
  softmax_stored_row<BFloat16>(row, scale, whole);
}
PRUNE_SWEEP_CLONES void softmax_stored(
    BFloat16, const RowScores& row, float scale, BFloat16* whole) {
  softmax_stored_row<BFloat16>(row, scale, whole);
}

/// Rows that read one stream's prompts, by prompt.
using RowsOfStream = std::vector<int64_t>;  // indices, ascending in run

std::vector<RowsOfStream> by_stream(const std::vector<StoredRow>& rows) {
  std::map<const KvBlocks*, size_t> known;
  std::vector<RowsOfStream> streams;
  for (int64_t i = 0; i < std::ssize(rows); ++i) {
    const auto [entry, is_new] =
        known.emplace(rows[static_cast<size_t>(i)].prompts, streams.size());
    if (is_new) streams.emplace_back();
    streams[entry->second].push_back(i);
  }
  std::vector<RowsOfStream> parts;
  for (RowsOfStream& stream : streams) {
    std::stable_sort(stream.begin(), stream.end(), [&](int64_t a, int64_t b) {
      return rows[static_cast<size_t>(a)].run < rows[static_cast<size_t>(b)].run;
    });
    for (size_t first = 0; first < stream.size(); first += kMaxRows) {
      const size_t end = std::min(stream.size(), first + static_cast<size_t>(kMaxRows));
      parts.emplace_back(
          stream.begin() + static_cast<std::ptrdiff_t>(first),
          stream.begin() + static_cast<std::ptrdiff_t>(end));
    }
  }
  return parts;
}

/// Blocks of a prompt before its last one. These are multiplied as tiles, for all rows that have
/// them; the last block and what was generated, which few rows read, in plain loops. Which way it
/// is depends on the text alone, not on what it shares.
int64_t num_whole_blocks(const StoredRow& row) { return KvBlocks::num_blocks(row.prompt_len) - 1; }

/// The rows of one stream and one key-value head.
template <typename T, typename C>
class StoredAttention {
 public:
  StoredAttention(
      const at::Tensor& q,
      const std::vector<StoredRow>& rows,
      const KvLayout& layout,
      const GeneratedKv& generated,
      at::Tensor& out)
      : q_(q.const_data_ptr<T>()),
        rows_(rows),
        layout_(layout),
        generated_(generated),
        out_(out.data_ptr<T>()),
        heads_(q.size(1)),
        head_dim_(q.size(2)),
        group_(heads_ / generated.blocks().kv_heads()) {}

  void attend(const RowsOfStream& rows, int64_t kv_head) {
    prompts_ = rows_[static_cast<size_t>(rows.front())].prompts;
    kv_head_ = kv_head;
    measure(rows);
    gather(rows);
    for_whole_blocks(rows, [&](const Reading& reading) { score_whole(reading); });
    for (int64_t i = 0; i < std::ssize(rows); ++i) {
      const StoredRow& row = row_at(rows, i);
      score_own(row, i);
      turn_into_probabilities(row, i);
      add_own(row, i);
    }
    for_whole_blocks(rows, [&](const Reading& reading) { add_whole(reading); });
    for (int64_t i = 0; i < std::ssize(rows); ++i) scatter(rows[static_cast<size_t>(i)], i);
  }

 private:
  const StoredRow& row_at(const RowsOfStream& rows, int64_t i) const {
    return rows_[static_cast<size_t>(rows[static_cast<size_t>(i)])];
  }

  void measure(const RowsOfStream& rows) {
    num_shared_ = layout_.num_shared_blocks();
    whole_extent_ = 0;
    int64_t most_generated = 0;
    for (int64_t i = 0; i < std::ssize(rows); ++i) {
      const StoredRow& row = row_at(rows, i);
      num_shared_ = std::min(num_shared_, num_whole_blocks(row));
      whole_extent_ = std::max(whole_extent_, num_whole_blocks(row) * kPositions);
      most_generated = std::max(most_generated, row.num_generated);
    }
    // Whole blocks, so that few shapes of products occur while texts grow.
    stride_ = whole_extent_ + kPositions + KvBlocks::num_blocks(most_generated) * kPositions;
    // Products may write a few rows more than there are.
    const int64_t room = std::ssize(rows) * group_ + 16;
    const auto resize = [](auto& vector, int64_t size) {
      vector.resize(static_cast<size_t>(size));
    };
    resize(queries_, room * head_dim_);
    resize(wide_queries_, room * head_dim_);
    resize(scores_, room * stride_);
    resize(probabilities_, room * whole_extent_);
    resize(sums_, room * head_dim_);
  }

  void gather(const RowsOfStream& rows) {
    const int64_t size = group_ * head_dim_;
    for (int64_t i = 0; i < std::ssize(rows); ++i) {
      const T* from = q_ + (rows[static_cast<size_t>(i)] * heads_ + kv_head_ * group_) * head_dim_;
      std::copy(from, from + size, queries_.begin() + i * size);
      std::copy(from, from + size, wide_queries_.begin() + i * size);
    }
  }

  /// A block that some rows read together, those from `first_row` on.
  struct Reading {
    int64_t first_row;
    int64_t num_product_rows;  ///< times group, and padding
    KvBlocks::Block block;
    int64_t first_column;  ///< of its scores
  };

  /// Calls f(reading) in the order of blocks: those of the prefix for all rows together, then those
  /// of each prompt for the rows that have it.
  template <typename F>
  void for_whole_blocks(const RowsOfStream& rows, F f) const {
    const auto read = [&](int64_t first, int64_t num_rows, int64_t run, int64_t index) {
      f(Reading{first, num_rows, layout_.block_of(run, index), index * kPositions});
    };
    // Behind all rows is room for padding.
    const int64_t num_padded = tiles::padded_rows(std::ssize(rows) * group_);
    for (int64_t i = 0; i < num_shared_; ++i) read(0, num_padded, row_at(rows, 0).run, i);
    for (int64_t first = 0; first < std::ssize(rows);) {
      const StoredRow& row = row_at(rows, first);
      int64_t end = first;
      while (end < std::ssize(rows) && row_at(rows, end).run == row.run) ++end;
      for (int64_t i = num_shared_; i < num_whole_blocks(row); ++i) {
        read(first, (end - first) * group_, row.run, i);
      }
      first = end;
    }
  }

  void score_whole(const Reading& reading) {
    const int64_t first = reading.first_row * group_;
    tiles::multiply(
        {{reading.num_product_rows, kPositions, head_dim_},
         {queries_.data() + first * head_dim_, head_dim_},
         {prompts_->keys(kv_head_, reading.block), kPositions},
         {scores_.data() + first * stride_ + reading.first_column, stride_},
         tiles::Into::kReplace});
  }

  void add_whole(const Reading& reading) {
    const int64_t first = reading.first_row * group_;
    tiles::multiply(
        {{reading.num_product_rows, head_dim_, kPositions},
         {probabilities_.data() + first * whole_extent_ + reading.first_column, whole_extent_},
         {prompts_->values(kv_head_, reading.block), head_dim_},
         {sums_.data() + first * head_dim_, head_dim_},
         tiles::Into::kAdd});
  }

  /// Calls f(blocks, block, first column of its scores) for what the row reads alone.
  template <typename F>
  void for_own_blocks(const StoredRow& row, F f) const {
    const int64_t num_whole = num_whole_blocks(row);
    KvBlocks::Block last = layout_.block_of(row.run, num_whole);
    f(*prompts_, last, num_whole * kPositions);
    for (int64_t first = 0; first < row.num_generated; first += kStep) {
      f(generated_.blocks(),
        generated_.block_of(row.slot, first / kStep),
        whole_extent_ + kPositions + first);
    }
  }

  void score_own(const StoredRow& row, int64_t i) {
    const auto score = [&](const KvBlocks& blocks, KvBlocks::Block block, int64_t column) {
      thin_product<C>(
          {group_, block.count, head_dim_},
          {wide_queries_.data() + i * group_ * head_dim_, head_dim_},
          blocks.keys(kv_head_, block),
          {scores_.data() + i * group_ * stride_ + column, stride_},
          tiles::Into::kReplace);
    };
    for_own_blocks(row, score);
  }

  /// The sums of the row's own blocks, in the place of those of the row before.
  void add_own(const StoredRow& row, int64_t i) {
    tiles::Into into = tiles::Into::kReplace;
    const auto add = [&](const KvBlocks& blocks, KvBlocks::Block block, int64_t column) {
      thin_product<C>(
          {group_, head_dim_, block.count},
          {scores_.data() + i * group_ * stride_ + column, stride_},
          blocks.values(kv_head_, block),
          {sums_.data() + i * group_ * head_dim_, head_dim_},
          std::exchange(into, tiles::Into::kAdd));
    };
    for_own_blocks(row, add);
  }

  void turn_into_probabilities(const StoredRow& row, int64_t i) {
    const int64_t num_whole = num_whole_blocks(row) * kPositions;
    for (int64_t head = i * group_; head < (i + 1) * group_; ++head) {
      float* const scores = scores_.data() + head * stride_;
      const RowScores of_row{
          .whole = scores,
          .num_whole = num_whole,
          .last = scores + num_whole,
          .num_last = row.prompt_len - num_whole,
          .generated = scores + whole_extent_ + kPositions,
          .num_generated = row.num_generated};
      softmax_stored(
          T{}, of_row, score_scale(head_dim_), probabilities_.data() + head * whole_extent_);
    }
  }

  void scatter(int64_t row, int64_t i) {
    const int64_t size = group_ * head_dim_;
    T* const to = out_ + (row * heads_ + kv_head_ * group_) * head_dim_;
    round_to(sums_.data() + i * size, size, to);
  }

  const T* q_;
  const std::vector<StoredRow>& rows_;
  const KvLayout& layout_;
  const GeneratedKv& generated_;
  T* out_;
  int64_t heads_;
  int64_t head_dim_;
  int64_t group_;
  const KvBlocks* prompts_ = nullptr;
  int64_t kv_head_ = 0;
  int64_t num_shared_ = 0;           ///< blocks that all rows read
  int64_t whole_extent_ = 0;         ///< positions of the whole blocks of the longest prompt
  int64_t stride_ = 0;               ///< of a row of scores
  AlignedVector<C> queries_;         // [rows * group][head_dim]
  std::vector<float> wide_queries_;  // the same
  AlignedVector<float> scores_;      // [rows * group][stride]
  AlignedVector<C> probabilities_;   // [rows * group][whole extent]
  AlignedVector<float> sums_;        // [rows * group][head_dim]
};

}  // namespace

at::Tensor attend_stored(
    const at::Tensor& q,
    const std::vector<StoredRow>& rows,
    const KvLayout& layout,
    const GeneratedKv& generated) {
  const KvBlocks& kv = generated.blocks();
  at::Tensor out = at::empty({q.size(0), q.size(1) * q.size(2)}, q.options());
  const std::vector<RowsOfStream> streams = by_stream(rows);
  int64_t keys = 0;
  for (const StoredRow& row : rows) keys += row.prompt_len + row.num_generated;
  const int64_t num_tasks = std::ssize(streams) * kv.kv_heads();
  const int64_t grain = parallel_grain(num_tasks, 4 * keys * q.size(1) * q.size(2));
  with_tile_types(q.scalar_type(), kv.arithmetic(), [&](auto stored, auto multiplied) {
    share_tasks(num_tasks, grain, [&](TaskCounter& counter) {
      StoredAttention<decltype(stored), decltype(multiplied)> attention(
          q, rows, layout, generated, out);
      for (int64_t task = 0; counter.take(task);) {
        attention.attend(
            streams[static_cast<size_t>(task % std::ssize(streams))], task / std::ssize(streams));
      }
      tiles::release(kv.arithmetic());
    });
  });
  return out;
}

}  // namespace prune_sweep
