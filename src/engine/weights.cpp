#include "engine/weights.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

at::ScalarType scalar_type(StoredType type) {
  switch (type) {
    case StoredType::kBfloat16:
      return at::kBFloat16;
    case StoredType::kFloat16:
      return at::kHalf;
    case StoredType::kFloat32:
      return at::kFloat;
  }
  return at::kFloat;
}

at::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::kBfloat16:
      return at::kBFloat16;
    case DType::kFloat32:
      return at::kFloat;
    case DType::kFloat16:
      return at::kHalf;
  }
  return at::kFloat;
}

namespace {

std::string layer_tensor(int32_t layer, const char* name) {
  return "model.layers." + std::to_string(layer) + '.' + name;
}

/// The tensor in place. A file may put it where no pointer to its type may point; then it is
/// copied.
at::Tensor as_tensor(const TensorView& view) {
  const at::ScalarType type = scalar_type(view.type);
  const bool is_aligned =
      reinterpret_cast<uintptr_t>(view.bytes.data()) % c10::elementSize(type) == 0;
  if (is_aligned) {
    // Never written to: every edit works on a copy.
    return at::from_blob(const_cast<char*>(view.bytes.data()), view.shape, type);
  }
  at::Tensor copy = at::empty(view.shape, type);
  std::memcpy(copy.data_ptr(), view.bytes.data(), view.bytes.size());
  return copy;
}

}  // namespace

at::Tensor adjoining(const std::vector<at::Tensor>& parts) {
  const at::Tensor& first = parts.front();
  if (!first.defined()) return {};
  const int64_t dim = std::max<int64_t>(0, first.dim() - 2);  // of the outputs
  int64_t rows = 0;
  int64_t end = first.storage_offset();
  for (const at::Tensor& part : parts) {
    const bool goes_on = part.defined() && part.strides() == first.strides() &&
                         part.is_alias_of(first) && part.storage_offset() == end;
    if (!goes_on) return {};
    end += part.size(dim) * part.stride(dim);
    rows += part.size(dim);
  }
  std::vector<int64_t> shape = first.sizes().vec();
  shape[static_cast<size_t>(dim)] = rows;
  return first.as_strided(shape, first.strides());
}

namespace {

using Members = std::vector<at::Tensor LayerWeights::*>;

std::vector<at::Tensor> tensors_of(const LayerWeights& weights, const Members& members) {
  std::vector<at::Tensor> tensors;
  for (const auto member : members) tensors.push_back(weights.*member);
  return tensors;
}

/// Each member becomes its part of `all`, in which they lie one behind the other in `dim`.
void replace_by_parts(
    LayerWeights& weights, const Members& members, const at::Tensor& all, int64_t dim) {
  int64_t first = 0;
  for (const auto member : members) {
    const int64_t outputs = (weights.*member).size(0);
    weights.*member = all.narrow(dim, first, outputs);
    first += outputs;
  }
}

}  // namespace

void adjoin(LayerWeights& weights) {
  const auto put_together = [&](const Members& members) {
    if (!(weights.*members.front()).defined()) return;
    replace_by_parts(weights, members, at::cat(tensors_of(weights, members)), 0);
  };
  put_together({&LayerWeights::q, &LayerWeights::k, &LayerWeights::v});
  put_together({&LayerWeights::q_bias, &LayerWeights::k_bias, &LayerWeights::v_bias});
  put_together({&LayerWeights::gate, &LayerWeights::up});
}

LayerWeights side_by_side(std::span<const LayerWeights> layers) {
  LayerWeights all = layers.front();
  if (layers.size() == 1) return all;
  if (!all.zeros.empty()) {
    for (const LayerWeights& layer : layers.subspan(1)) all.zeros.push_back(layer.zeros.front());
    return all;
  }
  const auto put = [&](const Members& members) {
    std::vector<at::Tensor> of_layers;
    for (const LayerWeights& layer : layers) {
      const std::vector<at::Tensor> parts = tensors_of(layer, members);
      const at::Tensor adjoined = adjoining(parts);
      of_layers.push_back(adjoined.defined() ? adjoined : at::cat(parts));
    }
    replace_by_parts(all, members, at::stack(of_layers), 1);
  };
  put({&LayerWeights::q, &LayerWeights::k, &LayerWeights::v});
  put({&LayerWeights::o});
  put({&LayerWeights::gate, &LayerWeights::up});
  put({&LayerWeights::down});
  return all;
}

Weights::Weights(
    Checkpoint checkpoint, const ModelConfig& config, at::ScalarType dtype, at::Device device)
    : checkpoint_(std::move(checkpoint)), dtype_(dtype), device_(device) {
  embedding_ = load("model.embed_tokens.weight");
  final_norm_ = load("model.norm.weight");
  head_ = config.tied_head ? embedding_ : load("lm_head.weight");
  for (int32_t layer = 0; layer < config.num_layers; ++layer) {
    const auto load_part = [&](const char* name) { return load(layer_tensor(layer, name)); };
    LayerWeights weights;
    for (const LinearWeight& linear : kLinearWeights)
      weights.*linear.member = load_part(linear.name);
    weights.input_norm = load_part("input_layernorm.weight");
    weights.mlp_norm = load_part("post_attention_layernorm.weight");
    if (config.qk_norm) {
      weights.q_norm = load_part("self_attn.q_norm.weight");
      weights.k_norm = load_part("self_attn.k_norm.weight");
    }
    if (config.attention_bias) {
      weights.q_bias = load_part("self_attn.q_proj.bias");
      weights.k_bias = load_part("self_attn.k_proj.bias");
      weights.v_bias = load_part("self_attn.v_proj.bias");
    }
    if (!device.is_cpu()) adjoin(weights);
    layers_.push_back(std::move(weights));
  }
}

int64_t Weights::edited_bytes() const {
  int64_t bytes = 0;
  for (const LinearWeight& linear : kLinearWeights) {
    bytes += static_cast<int64_t>((layers_.front().*linear.member).nbytes());
  }
  return bytes;
}

int64_t Weights::num_bytes() const {
  const bool is_tied = head_.is_same(embedding_);
  const auto ends = static_cast<int64_t>(embedding_.nbytes() + (is_tied ? 0 : head_.nbytes()));
  return ends + num_layers() * edited_bytes();
}

const TensorView& Weights::stored(int32_t layer, const LinearWeight& weight) const {
  return checkpoint_.tensor(layer_tensor(layer, weight.name));
}

at::Tensor Weights::load(const std::string& name) const {
  const at::Tensor stored = as_tensor(checkpoint_.tensor(name));
  at::Tensor tensor = stored.to(device_, dtype_);
  // Its largest number is 65504; the others hold what any checkpoint has.
  if (dtype_ == at::kHalf && stored.scalar_type() != at::kHalf &&
      !at::isfinite(tensor).all().item<bool>()) {
    bad_input(
        "dtype=float16: tensor " + name,
        "has values beyond what float16 can hold",
        "Use dtype = bfloat16 or float32.");
  }
  return tensor;
}

}  // namespace prune_sweep
