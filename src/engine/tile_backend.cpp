#include "engine/tile_backend.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/linear.hpp"
#include "engine/row_blocks.hpp"
#include "engine/tile_kv.hpp"

namespace prune_sweep {

namespace {

/// A linear weight as rows [first, first + count) of a layer's meet it.
ProductWeight weight_of(
    const LayerWeights& layer, at::Tensor LayerWeights::*member, int64_t first, int64_t count) {
  const auto row = std::ranges::find(kLinearWeights, member, &LinearWeight::member);
  const auto linear = static_cast<size_t>(row - kLinearWeights.begin());
  const bool is_one = layer.zeros.size() == 1;
  std::vector<RowZeros> zeros;
  int64_t begin = 0;
  for (const ShareZeros& share : layer.zeros) {
    const int64_t end = is_one ? first + count : begin + share.num_rows;
    const int64_t within = std::min(end, first + count) - std::max(begin, first);
    if (within > 0) zeros.push_back({(*share.of_layer)[linear], within});
    begin = end;
  }
  return {layer.*member, std::move(zeros)};
}

}  // namespace

bool TileBackend::can_compute(const ModelConfig& config, const Weights& weights) {
  const at::Tensor& like = weights.embedding();
  if (!like.is_cpu()) return false;
  switch (tiles::arithmetic_of(like.scalar_type())) {
    case tiles::Arithmetic::kNone:
      return false;
    case tiles::Arithmetic::kBfloat16:
      return config.hidden % 2 == 0 && config.intermediate % 2 == 0;  // heads are even
    case tiles::Arithmetic::kFloat32:
      return true;
  }
  return false;
}

TileBackend::TileBackend(
    const ModelConfig& config,
    const Weights& weights,
    int64_t row_block,
    const std::function<void()>& on_progress)
    : config_(config),
      element_bytes_(static_cast<int64_t>(weights.embedding().element_size())),
      row_block_(row_block),
      on_progress_(on_progress),
      head_(config, weights, on_progress),
      rows_(tiles::arithmetic_of(weights.embedding().scalar_type())),
      inner_(rows_.arithmetic()) {}

Qkv TileBackend::make_qkv(
    const LayerWeights& weights, const RotatedRows& rows, const RotatedRows& of_queries) {
  const RowNorm norm{weights.input_norm, config_.norm_eps};
  const auto room = [&](const at::Tensor& hidden, int64_t heads) {
    return at::empty({hidden.size(0), heads, config_.head_dim}, hidden.options());
  };
  Qkv all{
      room(of_queries.hidden, config_.heads),
      room(rows.hidden, config_.kv_heads),
      room(rows.hidden, config_.kv_heads)};

  const auto fill = [&](const RotatedRows& from, bool with_q, bool with_kv) {
    for_row_blocks(from.hidden.size(0), row_block_, [&](int64_t first, int64_t count) {
      const auto weight = [&](at::Tensor LayerWeights::*member) {
        return weight_of(weights, member, first, count);
      };
      const auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, first, count); };
      on_progress_();
      rows_.take(part(from.hidden), norm);
      const Rope angles{part(from.rope.cos), part(from.rope.sin)};
      const HeadTurn turn_q{{weights.q_norm, config_.norm_eps}, angles};
      const HeadTurn turn_k{{weights.k_norm, config_.norm_eps}, angles};
      std::vector<Projection> projections;
      if (with_q) projections.push_back({weight(&LayerWeights::q), weights.q_bias, part(all.q)});
      if (with_kv) projections.push_back({weight(&LayerWeights::k), weights.k_bias, part(all.k)});
      if (with_kv) projections.push_back({weight(&LayerWeights::v), weights.v_bias, part(all.v)});
      project(rows_, projections);
      if (with_q) norm_and_rotate(part(all.q), turn_q);
      if (with_kv) norm_and_rotate(part(all.k), turn_k);
    });
  };
  const bool is_joint = of_queries.hidden.is_same(rows.hidden);
  fill(rows, is_joint, true);
  if (!is_joint) fill(of_queries, true, false);
  return all;
}

void TileBackend::add_attention(
    const LayerWeights& weights, at::Tensor& hidden, const at::Tensor& attended) {
  for_row_blocks(hidden.size(0), row_block_, [&](int64_t first, int64_t count) {
    on_progress_();
    rows_.take(attended.narrow(0, first, count));
    add_product(
        rows_, weight_of(weights, &LayerWeights::o, first, count), hidden.narrow(0, first, count));
  });
}

void TileBackend::add_mlp(const LayerWeights& weights, at::Tensor& hidden) {
  for_row_blocks(hidden.size(0), row_block_, [&](int64_t first, int64_t count) {
    const auto weight = [&](at::Tensor LayerWeights::*member) {
      return weight_of(weights, member, first, count);
    };
    on_progress_();
    const at::Tensor rows = hidden.narrow(0, first, count);
    rows_.take(rows, {weights.mlp_norm, config_.norm_eps});
    gated_product(rows_, weight(&LayerWeights::gate), weight(&LayerWeights::up), inner_);
    add_product(inner_, weight(&LayerWeights::down), rows);
  });
}

std::unique_ptr<UnitKv> TileBackend::make_kv(
    const PackedRows& packed,
    const std::vector<int64_t>& wanted_rows,
    const StreamTree& tree,
    KeepKv keep) {
  return std::make_unique<TileKv>(packed, wanted_rows, tree, keep);
}

int64_t TileBackend::kv_bytes(
    const PackedRows& packed, const StreamTree& tree, int64_t num_slots, int64_t capacity) const {
  const KvLayout layout(packed, KvLayout::Rows::kKept);
  const int64_t num_rows = layout.num_columns() * count_passes(tree).attention +
                           num_slots * KvBlocks::steps_up(capacity) * config_.num_layers;
  return num_rows * kv_row_bytes(config_, element_bytes_);
}

}  // namespace prune_sweep
