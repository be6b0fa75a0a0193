#include "engine/plain/plain_backend.hpp"

#include <ATen/ATen.h>

#include "engine/plain/plain_kv.hpp"
#include "engine/row_blocks.hpp"

namespace prune_sweep {

Qkv PlainBackend::make_qkv(
    const LayerWeights& weights, const RotatedRows& rows, const RotatedRows& of_queries) {
  on_progress_();
  const auto normed = [&](const at::Tensor& hidden) {
    return ops_.rms_norm(hidden, {weights.input_norm, config_.norm_eps});
  };
  const auto heads = [&](const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    return at::linear(x, weight, bias).view({x.size(0), -1, config_.head_dim});
  };
  const auto turned = [&](const at::Tensor& x, const at::Tensor& norm, const Rope& rope) {
    return ops_.norm_and_rotate(x, {{norm, config_.norm_eps}, rope});
  };
  const at::Tensor x = normed(rows.hidden);
  const bool is_joint = of_queries.hidden.is_same(rows.hidden);
  const at::Tensor x_of_queries = is_joint ? x : normed(of_queries.hidden);
  return {
      turned(heads(x_of_queries, weights.q, weights.q_bias), weights.q_norm, of_queries.rope),
      turned(heads(x, weights.k, weights.k_bias), weights.k_norm, rows.rope),
      heads(x, weights.v, weights.v_bias)};
}

void PlainBackend::add_attention(
    const LayerWeights& weights, at::Tensor& hidden, const at::Tensor& attended) {
  hidden.add_(at::linear(attended, weights.o));
}

void PlainBackend::add_mlp(const LayerWeights& weights, at::Tensor& hidden) {
  // In blocks, because what is inside is several times as wide.
  for_row_blocks(hidden.size(0), row_block_, [&](int64_t first, int64_t count) {
    on_progress_();
    at::Tensor rows = hidden.narrow(0, first, count);
    const at::Tensor x = ops_.rms_norm(rows, {weights.mlp_norm, config_.norm_eps});
    const at::Tensor inner = ops_.silu_mul(at::linear(x, weights.gate), at::linear(x, weights.up));
    rows.add_(at::linear(inner, weights.down));
  });
}

std::unique_ptr<UnitKv> PlainBackend::make_kv(
    const PackedRows& packed,
    const std::vector<int64_t>& wanted_rows,
    const StreamTree& tree,
    KeepKv keep) {
  return std::make_unique<PlainKv>(packed, wanted_rows, tree, keep, device_, ops_);
}

int64_t PlainBackend::kv_bytes(
    const PackedRows& packed, const StreamTree& tree, int64_t num_slots, int64_t capacity) const {
  int64_t num_rows = num_slots * capacity * config_.num_layers;
  for (const std::vector<Branch>& level : tree.levels) {
    num_rows += std::ssize(level) * packed.num_rows();
  }
  return num_rows * kv_row_bytes(config_, element_bytes_);
}

}  // namespace prune_sweep
