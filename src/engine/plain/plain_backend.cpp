#include "engine/plain/plain_backend.hpp"

#include <ATen/ATen.h>
#include <c10/util/ScopeExit.h>

#include <algorithm>
#include <vector>

#include "engine/plain/cuda_graph.hpp"
#include "engine/plain/plain_kv.hpp"
#include "engine/row_blocks.hpp"

namespace prune_sweep {

namespace {

/// Products with a weight; with several [weights, outputs, inputs], an equal share of the rows
/// each.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {}) {
  if (weight.dim() == 2) return at::linear(x, weight, bias);
  const at::Tensor shares = x.view({weight.size(0), -1, x.size(1)});
  const at::Tensor inputs_first = weight.transpose(1, 2);
  const at::Tensor products =
      bias.defined() ? at::baddbmm(bias, shares, inputs_first) : at::bmm(shares, inputs_first);
  return products.view({x.size(0), weight.size(1)});
}

/// Products with several weights, one behind the other: [rows, all of them]. One product where they
/// lie together. `biases` are undefined where there are none, all of them.
at::Tensor products(
    const at::Tensor& x,
    const std::vector<at::Tensor>& weights,
    const std::vector<at::Tensor>& biases) {
  const at::Tensor all = adjoining(weights);
  const at::Tensor all_biases = adjoining(biases);
  if (all.defined() && all_biases.defined() == biases.front().defined()) {
    return product(x, all, all_biases);
  }
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < weights.size(); ++i) {
    parts.push_back(product(x, weights[i], biases[i]));
  }
  return at::cat(parts, 1);
}

}  // namespace

Qkv PlainBackend::make_qkv(
    const LayerWeights& weights, const RotatedRows& rows, const RotatedRows& of_queries) {
  on_progress_();
  const auto normed = [&](const at::Tensor& hidden) {
    return ops_.rms_norm(hidden, {weights.input_norm, config_.norm_eps});
  };
  const auto heads = [&](const at::Tensor& x) { return x.view({x.size(0), -1, config_.head_dim}); };
  const int64_t num_q = config_.heads;
  const int64_t num_k = config_.kv_heads;
  const auto turn = [&](const at::Tensor& q_and_k, int64_t q_heads, const Rope& rope) {
    const double eps = config_.norm_eps;
    ops_.turn_heads(q_and_k, {q_heads, {weights.q_norm, eps}, {weights.k_norm, eps}, rope});
  };
  const at::Tensor x = normed(rows.hidden);
  if (of_queries.hidden.is_same(rows.hidden)) {
    const at::Tensor all = heads(products(
        x, {weights.q, weights.k, weights.v}, {weights.q_bias, weights.k_bias, weights.v_bias}));
    turn(all.narrow(1, 0, num_q + num_k), num_q, rows.rope);
    return {
        all.narrow(1, 0, num_q), all.narrow(1, num_q, num_k), all.narrow(1, num_q + num_k, num_k)};
  }
  const at::Tensor q = heads(product(normed(of_queries.hidden), weights.q, weights.q_bias));
  turn(q, num_q, of_queries.rope);
  const at::Tensor kv =
      heads(products(x, {weights.k, weights.v}, {weights.k_bias, weights.v_bias}));
  turn(kv.narrow(1, 0, num_k), 0, rows.rope);
  return {q, kv.narrow(1, 0, num_k), kv.narrow(1, num_k, num_k)};
}

void PlainBackend::add_attention(
    const LayerWeights& weights, at::Tensor& hidden, const at::Tensor& attended) {
  hidden.add_(product(attended, weights.o));
}

void PlainBackend::add_attention_and_mlp(
    const LayerWeights& weights, at::Tensor& hidden, const at::Tensor& attended) {
  add_residual_and_mlp(weights, hidden, product(attended, weights.o));
}

void PlainBackend::add_residual_and_mlp(
    const LayerWeights& weights, at::Tensor& hidden, const at::Tensor& residual) {
  const RowNorm norm{weights.mlp_norm, config_.norm_eps};
  // In blocks, because what is inside is several times as wide; of every share of the rows alike.
  const int64_t num_shares = weights.gate.dim() == 3 ? weights.gate.size(0) : 1;
  const at::Tensor shares = hidden.view({num_shares, -1, hidden.size(1)});
  const int64_t block = std::max<int64_t>(1, row_block_ / num_shares);
  for_row_blocks(shares.size(1), block, [&](int64_t first, int64_t count) {
    on_progress_();
    at::Tensor rows = shares.narrow(1, first, count);
    const at::Tensor normed =
        residual.defined()
            ? ops_.add_and_norm(rows, residual.view(shares.sizes()).narrow(1, first, count), norm)
            : ops_.rms_norm(rows, norm);
    const at::Tensor x = normed.reshape({-1, hidden.size(1)});
    const at::Tensor both = products(x, {weights.gate, weights.up}, {{}, {}});
    const int64_t width = both.size(1) / 2;
    const at::Tensor inner = ops_.silu_mul(both.narrow(1, 0, width), both.narrow(1, width, width));
    rows.add_(product(inner, weights.down).view(rows.sizes()));
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
  return num_rows * kv_row_bytes(config_, static_cast<int64_t>(c10::elementSize(type_)));
}

std::unique_ptr<StepGraph> PlainBackend::record(const std::function<void()>& queue) {
  // Attention in parts asks the device for positions, and so cannot be recorded.
  const bool can_record = device_.is_cuda() && graphs_ == Use::kOn &&
                          ops_.can_attend_generated(type_, config_.head_dim);
  if (!can_record) return nullptr;
  is_recording_ = true;
  const auto done = c10::make_scope_exit([this] { is_recording_ = false; });
  return CudaGraph::record(*ops_.kernels()->graphs, queue);
}

}  // namespace prune_sweep
