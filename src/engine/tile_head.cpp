#include "engine/tile_head.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/kernels.hpp"
#include "engine/lanes.hpp"
#include "engine/linear.hpp"
#include "engine/team.hpp"

namespace prune_sweep {

namespace {

/// Ids whose logits are looked at by one thread, and are added up apart from the others.
constexpr int64_t kIdBlock = 2048;
/// Rows that go through the head together.
constexpr int64_t kRowsAtOnce = 1024;

constexpr float kLowest = -std::numeric_limits<float>::infinity();

/// What is known of the logits of some rows over some ids.
struct RowStates {
  explicit RowStates(int64_t columns)
      : top(static_cast<size_t>(columns), kLowest), top_id(top.size(), -1), total(top.size(), 0) {}

  std::vector<float> top;  ///< numbers only
  std::vector<int32_t> top_id;
  std::vector<float> total;  ///< of e^(logit - top); a NaN when a logit is none
};

/// Adds the logits of `count` ids from `first_id` on, [count][columns], to rows from `row` on.
PRUNE_SWEEP_CLONES void add_logits(
    const float* logits,
    int64_t count,
    int64_t columns,
    int32_t first_id,
    LogitsUse use,
    float* tops,
    int32_t* top_ids,
    float* totals) {
  for (int64_t column = 0; column < columns; column += kLanes) {
    const Lanes before = load(tops + column);
    Lanes top = before;
    LaneBits top_id;
    std::memcpy(&top_id, top_ids + column, sizeof top_id);
    for (int64_t i = 0; i < count; ++i) {
      const Lanes logit = load(logits + i * columns + column);
      const LaneBits is_larger = logit > top;
      top = is_larger ? logit : top;
      top_id = is_larger ? LaneBits{} + (first_id + static_cast<int32_t>(i)) : top_id;
    }
    store(tops + column, top);
    std::memcpy(top_ids + column, &top_id, sizeof top_id);
    if (use == LogitsUse::kGreedy) continue;
    Lanes total = load(totals + column) * exp(before - top);
    for (int64_t i = 0; i < count; ++i) total += exp(load(logits + i * columns + column) - top);
    store(totals + column, total);
  }
}

}  // namespace

/// A row over the whole vocabulary.
struct TileHead::RowState {
  float top = kLowest;
  int32_t top_id = -1;
  double total = 0;

  void add(float other_top, int32_t other_id, double other_total) {
    const double before = top;
    if (other_top > top) {
      top = other_top;
      top_id = other_id;
    }
    total = total * std::exp(before - top) + other_total * std::exp(double{other_top} - top);
  }
  float log_total() const { return top + static_cast<float>(std::log(total)); }
};

template <typename OnLogits>
std::vector<TileHead::RowState> TileHead::scan(
    const at::Tensor& hidden, LogitsUse use, OnLogits on_logits) const {
  on_progress_();
  const at::Tensor& head = weights_.head();
  const int64_t num_rows = hidden.size(0);
  const int64_t num_blocks = (config_.vocab_size + kIdBlock - 1) / kIdBlock;

  ProductRows normed(tiles::arithmetic_of(head.scalar_type()));
  normed.take(hidden.contiguous(), {weights_.final_norm(), config_.norm_eps});
  const Panels rows(normed);
  std::vector<RowStates> blocks(
      static_cast<size_t>(num_blocks), RowStates(rows.size() * Panels::kRows));
  const auto scan_block = [&](int64_t block) {
    RowStates& states = blocks[static_cast<size_t>(block)];
    const int64_t first = block * kIdBlock;
    const int64_t count = std::min<int64_t>(kIdBlock, config_.vocab_size - first);
    for_tiles_here(rows, head, first, count, [&](const Tile& tile) {
      const int64_t columns = rows.columns(tile.panel);
      const int64_t row = tile.panel * Panels::kRows;
      const auto at = static_cast<size_t>(row);
      add_logits(
          tile.sums,
          tile.count,
          columns,
          static_cast<int32_t>(tile.first),
          use,
          &states.top[at],
          &states.top_id[at],
          &states.total[at]);
      on_logits(tile.sums, tile.first, tile.count, row, columns);
    });
  };
  share_tasks(num_blocks, 1, [&](TaskCounter& counter) {
    for (int64_t block = 0; counter.take(block);) scan_block(block);
  });

  std::vector<RowState> all(static_cast<size_t>(num_rows));
  for (const RowStates& block : blocks) {
    for (size_t row = 0; row < all.size(); ++row) {
      all[row].add(block.top[row], block.top_id[row], block.total[row]);
    }
  }
  return all;
}

std::vector<TileHead::Score> TileHead::score(
    const at::Tensor& hidden, std::span<const Target> targets) const {
  std::vector<Score> scores(targets.size());
  std::vector<size_t> by_id(targets.size());
  for (size_t i = 0; i < by_id.size(); ++i) by_id[i] = i;
  std::sort(by_id.begin(), by_id.end(), [&](size_t a, size_t b) {
    return targets[a].id < targets[b].id;
  });
  std::vector<float> target_logits(targets.size());
  for (int64_t begin = 0; begin < hidden.size(0); begin += kRowsAtOnce) {
    const int64_t end = std::min(hidden.size(0), begin + kRowsAtOnce);
    const auto keep_targets =
        [&](const float* logits, int64_t first, int64_t count, int64_t row, int64_t columns) {
          const auto from =
              std::lower_bound(by_id.begin(), by_id.end(), first, [&](size_t i, int64_t id) {
                return targets[i].id < id;
              });
          for (auto i = from; i != by_id.end() && targets[*i].id < first + count; ++i) {
            const int64_t column = targets[*i].row - begin - row;
            if (column >= 0 && column < columns) {
              target_logits[*i] = logits[(targets[*i].id - first) * columns + column];
            }
          }
        };
    const auto states = scan(hidden.narrow(0, begin, end - begin), LogitsUse::kTotal, keep_targets);
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i].row < begin || targets[i].row >= end) continue;
      const RowState& state = states[static_cast<size_t>(targets[i].row - begin)];
      scores[i] = {target_logits[i] - state.log_total(), state.top_id == targets[i].id};
    }
  }
  return scores;
}

std::vector<float> TileHead::logprobs(const at::Tensor& hidden) const {
  std::vector<float> values(static_cast<size_t>(config_.vocab_size));
  const auto keep =
      [&](const float* logits, int64_t first, int64_t count, int64_t, int64_t columns) {
        for (int64_t i = 0; i < count; ++i)
          values[static_cast<size_t>(first + i)] = logits[i * columns];
      };
  const float log_total = scan(hidden, LogitsUse::kTotal, keep).front().log_total();
  for (float& value : values) value -= log_total;
  return values;
}

at::Tensor TileHead::greedy(const at::Tensor& hidden) const {
  at::Tensor ids = at::empty({hidden.size(0)}, at::kInt);
  int32_t* next = ids.data_ptr<int32_t>();
  for (int64_t begin = 0; begin < hidden.size(0); begin += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, hidden.size(0) - begin);
    const auto states = scan(
        hidden.narrow(0, begin, count),
        LogitsUse::kGreedy,
        [](const float*, int64_t, int64_t, int64_t, int64_t) {});
    for (const RowState& state : states) *next++ = state.top_id;
  }
  return ids;
}

}  // namespace prune_sweep
