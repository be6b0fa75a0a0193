#include "engine/decoder.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "engine/rope.hpp"
#include "engine/to_device.hpp"

namespace prune_sweep {

namespace {

at::Tensor index_tensor(std::span<const int32_t> values, at::Device device) {
  return to_device(
      at::tensor(at::ArrayRef<int32_t>(values.data(), values.size()), at::kInt), device);
}

}  // namespace

Decoder::Decoder(const ModelConfig& config, const Weights& weights, Backend& backend)
    : config_(config), weights_(weights), backend_(backend) {}

at::Tensor Decoder::embed(std::span<const int32_t> ids) const {
  return embed(index_tensor(ids, weights_.embedding().device()));
}
at::Tensor Decoder::embed(const at::Tensor& ids) const {
  return weights_.embedding().index_select(0, ids.clamp_min(0));
}

Rope Decoder::rope(std::span<const int32_t> positions) {
  reserve_positions(int64_t{1} + *std::max_element(positions.begin(), positions.end()));
  return rope(index_tensor(positions, angles_.cos.device()));
}
Rope Decoder::rope(const at::Tensor& positions) const {
  return {angles_.cos.index_select(0, positions), angles_.sin.index_select(0, positions)};
}

void Decoder::reserve_positions(int64_t num_positions) {
  constexpr int64_t kStep = 1024;
  if (angles_.cos.defined() && angles_.cos.size(0) >= num_positions) return;
  num_positions = (num_positions + kStep - 1) / kStep * kStep;
  angles_ = rope_angles(rope_frequencies(config_.rope, config_.head_dim), num_positions);
  const at::Tensor& like = weights_.embedding();
  angles_.cos = angles_.cos.to(like.device(), like.scalar_type());
  angles_.sin = angles_.sin.to(like.device(), like.scalar_type());
}

void Decoder::run_layer(
    const LayerWeights& weights,
    const EditEffect& effect,
    at::Tensor& hidden,
    const Rope& rope,
    const Attend& attend) {
  const RotatedRows rows{hidden, rope};
  add_sublayers(
      weights, effect, hidden, [&] { return attend(backend_.make_qkv(weights, rows, rows)); });
}

at::Tensor Decoder::run_last_layer(
    const LayerWeights& weights,
    const EditEffect& effect,
    const at::Tensor& hidden,
    const Rope& rope,
    const WantedRows& wanted,
    const Attend& attend) {
  const at::Tensor index = indices_on(hidden.device(), wanted.rows);
  at::Tensor rows = hidden.index_select(0, index);
  add_sublayers(weights, effect, rows, [&] {
    return attend(backend_.make_qkv(weights, {hidden, rope}, {rows, wanted.rope}));
  });
  return rows;
}

template <typename Attended>
void Decoder::add_sublayers(
    const LayerWeights& weights, const EditEffect& effect, at::Tensor& hidden, Attended attended) {
  if (effect.keeps_attention && effect.keeps_mlp) {
    backend_.add_attention_and_mlp(weights, hidden, attended());
  } else if (effect.keeps_attention) {
    backend_.add_attention(weights, hidden, attended());
  } else if (effect.keeps_mlp) {
    backend_.add_mlp(weights, hidden);
  }
}

EditEffect effect_of(const std::optional<Edit>& edit) {
  return edit ? info(edit->kind).effect : EditEffect{true, true, false};
}

}  // namespace prune_sweep
