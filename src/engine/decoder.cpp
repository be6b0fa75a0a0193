#include "engine/decoder.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "engine/linear.hpp"
#include "engine/rope.hpp"

namespace prune_sweep {

namespace {

at::Tensor index_tensor(std::span<const int32_t> values, at::Device device) {
  return at::tensor(at::ArrayRef<int32_t>(values.data(), values.size()), at::kInt).to(device);
}

tiles::Arithmetic arithmetic_on(const at::Tensor& weights) {
  return weights.is_cpu() ? tiles::arithmetic_of(weights.scalar_type()) : tiles::Arithmetic::kNone;
}

/// Calls f(first, count) for equal shares of `num_rows` of at most `block` rows each.
template <typename F>
void for_row_blocks(int64_t num_rows, int64_t block, F f) {
  const int64_t num_blocks = (num_rows + block - 1) / block;
  for (int64_t i = 0; i < num_blocks; ++i) {
    // Whole panels, so that no block is a few rows more than some.
    const auto cut = [&](int64_t share) {
      const int64_t row = num_rows * share / num_blocks;
      return share == num_blocks ? row : row / Panels::kRows * Panels::kRows;
    };
    f(cut(i), cut(i + 1) - cut(i));
  }
}

/// What stands for a sublayer where there are no products of tiles: plain operations.
namespace plain_layer {

at::Tensor heads_of(
    const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, int64_t head_dim) {
  return at::linear(x, weight, bias).view({x.size(0), -1, head_dim});
}

void add_mlp(const ModelConfig& config, const LayerWeights& weights, at::Tensor rows) {
  const at::Tensor x = rms_norm(rows, weights.mlp_norm, config.norm_eps);
  const at::Tensor inner = plain::silu_mul(at::linear(x, weights.gate), at::linear(x, weights.up));
  rows.add_(at::linear(inner, weights.down));
}

}  // namespace plain_layer

}  // namespace

Decoder::Decoder(
    const ModelConfig& config,
    const Weights& weights,
    int64_t row_block,
    const std::function<void()>& on_progress)
    : config_(config),
      weights_(weights),
      row_block_(row_block),
      on_progress_(on_progress),
      rows_(arithmetic_on(weights.embedding())),
      inner_(rows_.arithmetic()) {}

at::Tensor Decoder::embed(std::span<const int32_t> ids) const {
  return weights_.embedding().index_select(0, index_tensor(ids, weights_.embedding().device()));
}

Rope Decoder::rope(std::span<const int32_t> positions) {
  extend_angles(int64_t{1} + *std::max_element(positions.begin(), positions.end()));
  const at::Tensor index = index_tensor(positions, angles_.cos.device());
  return {angles_.cos.index_select(0, index), angles_.sin.index_select(0, index)};
}

void Decoder::extend_angles(int64_t num_positions) {
  constexpr int64_t kStep = 1024;
  if (angles_.cos.defined() && angles_.cos.size(0) >= num_positions) return;
  num_positions = (num_positions + kStep - 1) / kStep * kStep;
  angles_ = rope_angles(rope_frequencies(config_.rope, config_.head_dim), num_positions);
  const at::Tensor& like = weights_.embedding();
  angles_.cos = angles_.cos.to(like.device(), like.scalar_type());
  angles_.sin = angles_.sin.to(like.device(), like.scalar_type());
}

Qkv Decoder::make_qkv(
    const LayerWeights& weights,
    const at::Tensor& hidden,
    const Rope& rope,
    const at::Tensor& of_queries,
    const Rope& rope_of_queries) {
  const RowNorm norm{weights.input_norm, config_.norm_eps};
  const RowNorm q_norm{weights.q_norm, config_.norm_eps};
  const RowNorm k_norm{weights.k_norm, config_.norm_eps};
  const int64_t head_dim = config_.head_dim;
  const auto room = [&](const at::Tensor& rows, int64_t heads) {
    return at::empty({rows.size(0), heads, head_dim}, rows.options());
  };
  Qkv all{
      room(of_queries, config_.heads),
      room(hidden, config_.kv_heads),
      room(hidden, config_.kv_heads)};
  const bool is_joint = of_queries.is_same(hidden);

  /// Fills rows [first, first + count) of what is wanted.
  const auto fill = [&](const at::Tensor& from, const Rope& angles, bool with_q, bool with_kv) {
    for_row_blocks(from.size(0), row_block_, [&](int64_t first, int64_t count) {
      const auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, first, count); };
      const Rope of_block{part(angles.cos), part(angles.sin)};
      on_progress_();
      if (rows_.arithmetic() == tiles::Arithmetic::kNone) {
        const at::Tensor x = rms_norm(part(from), norm.weight, norm.eps);
        const auto heads = [&](const at::Tensor& weight, const at::Tensor& bias) {
          return plain_layer::heads_of(x, weight, bias, head_dim);
        };
        if (with_q) part(all.q).copy_(heads(weights.q, weights.q_bias));
        if (with_kv) part(all.k).copy_(heads(weights.k, weights.k_bias));
        if (with_kv) part(all.v).copy_(heads(weights.v, weights.v_bias));
      } else {
        rows_.pack(part(from), norm);
        std::vector<Projection> projections;
        if (with_q) projections.push_back({weights.q, weights.q_bias, part(all.q)});
        if (with_kv) projections.push_back({weights.k, weights.k_bias, part(all.k)});
        if (with_kv) projections.push_back({weights.v, weights.v_bias, part(all.v)});
        project(rows_, projections);
      }
      const auto turn = [&](const at::Tensor& heads, const RowNorm& head_norm) {
        at::Tensor rows = part(heads);
        norm_and_rotate(rows, head_norm, of_block);
        if (!heads.is_cpu()) part(heads).copy_(rows);
      };
      if (with_q) turn(all.q, q_norm);
      if (with_kv) turn(all.k, k_norm);
    });
  };
  fill(hidden, rope, is_joint, true);
  if (!is_joint) fill(of_queries, rope_of_queries, true, false);
  return all;
}

void Decoder::add_attention(
    const LayerWeights& weights, at::Tensor& hidden, const at::Tensor& attended) {
  for_row_blocks(hidden.size(0), row_block_, [&](int64_t first, int64_t count) {
    on_progress_();
    at::Tensor rows = hidden.narrow(0, first, count);
    if (rows_.arithmetic() == tiles::Arithmetic::kNone) {
      rows.add_(at::linear(attended.narrow(0, first, count), weights.o));
    } else {
      rows_.pack(attended.narrow(0, first, count));
      add_product(rows_, weights.o, rows);
    }
  });
}

void Decoder::add_mlp(const LayerWeights& weights, at::Tensor& hidden) {
  for_row_blocks(hidden.size(0), row_block_, [&](int64_t first, int64_t count) {
    on_progress_();
    at::Tensor rows = hidden.narrow(0, first, count);
    if (rows_.arithmetic() == tiles::Arithmetic::kNone) {
      plain_layer::add_mlp(config_, weights, rows);
    } else {
      rows_.pack(rows, {weights.mlp_norm, config_.norm_eps});
      gated_product(rows_, weights.gate, weights.up, inner_);
      add_product(inner_, weights.down, rows);
    }
  });
}

void Decoder::run_layer(
    const LayerWeights& weights,
    const EditEffect& effect,
    at::Tensor& hidden,
    const Rope& rope,
    const Attend& attend) {
  if (effect.keeps_attention) {
    add_attention(weights, hidden, attend(make_qkv(weights, hidden, rope, hidden, rope)));
  }
  if (effect.keeps_mlp) add_mlp(weights, hidden);
}

at::Tensor Decoder::run_last_layer(
    const LayerWeights& weights,
    const EditEffect& effect,
    const at::Tensor& hidden,
    const Rope& rope,
    const WantedRows& wanted,
    const Attend& attend) {
  const at::Tensor index = at::tensor(wanted.rows, at::kLong).to(hidden.device());
  at::Tensor rows = hidden.index_select(0, index);
  if (effect.keeps_attention) {
    add_attention(weights, rows, attend(make_qkv(weights, hidden, rope, rows, wanted.rope)));
  }
  if (effect.keeps_mlp) add_mlp(weights, rows);
  return rows;
}

EditEffect effect_of(const Edit* edit) {
  return edit != nullptr ? info(edit->kind).effect : EditEffect{true, true, false};
}

}  // namespace prune_sweep
