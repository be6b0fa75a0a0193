#include "engine/decoder.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "engine/rope.hpp"
#include "engine/rows.hpp"

namespace prune_sweep {

namespace {

using Tensors = std::vector<at::Tensor>;

at::Tensor index_tensor(std::span<const int32_t> values, at::Device device) {
  return at::tensor(at::ArrayRef<int32_t>(values.data(), values.size()), at::kInt).to(device);
}

/// `rows` as [rows, any, head_dim].
at::Tensor as_heads(const at::Tensor& rows, int64_t head_dim) {
  return rows.view({rows.size(0), -1, head_dim});
}

}  // namespace

Decoder::Decoder(
    const ModelConfig& config, const Weights& weights, const std::function<void()>& on_progress)
    : config_(config), weights_(weights), on_progress_(on_progress) {
  // The smallest product of a layer is that of k and v.
  const int64_t kv_width = int64_t{config.kv_heads} * config.head_dim;
  min_rows_ = min_gemm_rows(config.hidden, std::min<int64_t>(kv_width, config.intermediate));
}

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

Qkv Decoder::project(
    const LayerWeights& weights, const at::Tensor& hidden, const Rope& rope) const {
  const int64_t head_dim = config_.head_dim;
  Tensors qkv = map_row_blocks({hidden, rope.cos, rope.sin}, min_rows_, [&](const Tensors& in) {
    const Rope angles{in[1], in[2]};
    const at::Tensor x = rms_norm(in[0], weights.input_norm, config_.norm_eps);
    at::Tensor q = as_heads(at::linear(x, weights.q, weights.q_bias), head_dim);
    at::Tensor k = as_heads(at::linear(x, weights.k, weights.k_bias), head_dim);
    const at::Tensor v = as_heads(at::linear(x, weights.v, weights.v_bias), head_dim);
    if (config_.qk_norm) {
      q = rms_norm(q, weights.q_norm, config_.norm_eps);
      k = rms_norm(k, weights.k_norm, config_.norm_eps);
    }
    on_progress_();
    return Tensors{rotate(q, angles), rotate(k, angles), v};
  });
  return {std::move(qkv[0]), std::move(qkv[1]), std::move(qkv[2])};
}

at::Tensor Decoder::add_attention(
    const LayerWeights& weights, const at::Tensor& hidden, const at::Tensor& attended) const {
  return map_row_blocks(
             {hidden, attended},
             min_rows_,
             [&](const Tensors& in) {
               on_progress_();
               return Tensors{in[0] + at::linear(in[1], weights.o)};
             })
      .front();
}

at::Tensor Decoder::add_mlp(const LayerWeights& weights, const at::Tensor& hidden) const {
  return map_row_blocks(
             {hidden},
             min_rows_,
             [&](const Tensors& in) {
               const at::Tensor x = rms_norm(in[0], weights.mlp_norm, config_.norm_eps);
               const at::Tensor inner =
                   silu_mul(at::linear(x, weights.gate), at::linear(x, weights.up));
               on_progress_();
               return Tensors{in[0] + at::linear(inner, weights.down)};
             })
      .front();
}

at::Tensor Decoder::layer(
    const LayerWeights& weights,
    const EditEffect& effect,
    at::Tensor hidden,
    const Rope& rope,
    const Attend& attend) const {
  if (effect.keeps_attention) {
    const at::Tensor attended = attend(project(weights, hidden, rope));
    hidden = add_attention(weights, hidden, attended);
  }
  if (effect.keeps_mlp) hidden = add_mlp(weights, hidden);
  return hidden;
}

EditEffect effect_of(const Edit* edit) {
  return edit != nullptr ? info(edit->kind).effect : EditEffect{true, true, false};
}

}  // namespace prune_sweep
