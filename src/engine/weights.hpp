/// \file
/// A model's weights as tensors: on a CPU views of the mapped checkpoint wherever its type is the
/// one computed in.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/zeros.hpp"
#include "prune_sweep/core/job.hpp"
#include "prune_sweep/model/checkpoint.hpp"
#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

/// One decoder layer. A tensor that the model does not have is undefined. Copies share their
/// tensors. Of several layers side by side the linear weights have one dimension more, in front
/// (see below), or they are the model's and `zeros` tells the layers apart.
struct LayerWeights {
  at::Tensor input_norm;              // [hidden]
  at::Tensor q;                       // [heads * head_dim, hidden]
  at::Tensor k, v;                    // [kv_heads * head_dim, hidden]
  at::Tensor o;                       // [hidden, heads * head_dim]
  at::Tensor q_bias, k_bias, v_bias;  // as the rows of q, k, v
  at::Tensor q_norm, k_norm;          // [head_dim]
  at::Tensor mlp_norm;                // [hidden]
  at::Tensor gate, up;                // [intermediate, hidden]
  at::Tensor down;                    // [hidden, intermediate]
  std::vector<ShareZeros> zeros;      ///< in the linear weights, for all rows or shares of them
};

/// Tensors whose rows (of several side by side: outputs) lie one behind the other, as one;
/// undefined where they do not. So q, k, v, their biases, and gate, up are multiplied at once.
at::Tensor adjoining(const std::vector<at::Tensor>& parts);
/// Puts them one behind the other.
void adjoin(LayerWeights& weights);

/// Layers that differ in their linear weights alone, as one whose linear weights are [layers,
/// outputs, inputs]: each is for an equal share of the rows. If they differ in their zeros alone,
/// these are what is put together, and shares are as the caller then says. One layer stays as it
/// is.
LayerWeights side_by_side(std::span<const LayerWeights> layers);

/// A linear weight of a layer: where it is in LayerWeights and in the checkpoint.
struct LinearWeight {
  at::Tensor LayerWeights::*member;
  const char* name;  ///< behind `model.layers.N.`
};
/// The linear weights in the order in which magnitudes are ranked.
inline constexpr std::array<LinearWeight, std::tuple_size_v<LayerZeros>> kLinearWeights{{
    {&LayerWeights::q, "self_attn.q_proj.weight"},
    {&LayerWeights::k, "self_attn.k_proj.weight"},
    {&LayerWeights::v, "self_attn.v_proj.weight"},
    {&LayerWeights::o, "self_attn.o_proj.weight"},
    {&LayerWeights::gate, "mlp.gate_proj.weight"},
    {&LayerWeights::up, "mlp.up_proj.weight"},
    {&LayerWeights::down, "mlp.down_proj.weight"},
}};

at::ScalarType scalar_type(StoredType type);
at::ScalarType scalar_type(DType dtype);

class Weights {
 public:
  /// Takes `checkpoint` over; tensors of another type than `dtype` are converted now. Throws Error
  /// (kBadInput) naming the tensor that has values which float16 cannot hold.
  Weights(
      Checkpoint checkpoint, const ModelConfig& config, at::ScalarType dtype, at::Device device);

  const LayerWeights& layer(int32_t index) const { return layers_.at(static_cast<size_t>(index)); }
  int32_t num_layers() const { return static_cast<int32_t>(layers_.size()); }
  const at::Tensor& embedding() const { return embedding_; }    // [vocab, hidden]
  const at::Tensor& final_norm() const { return final_norm_; }  // [hidden]
  const at::Tensor& head() const { return head_; }              // [vocab, hidden]

  int64_t num_bytes() const;  ///< of all tensors
  /// Of the tensors that an edited copy of a layer has of its own.
  int64_t edited_bytes() const;

  /// A linear weight as the checkpoint stores it.
  const TensorView& stored(int32_t layer, const LinearWeight& weight) const;

 private:
  at::Tensor load(const std::string& name) const;

  Checkpoint checkpoint_;
  at::ScalarType dtype_;
  at::Device device_;
  std::vector<LayerWeights> layers_;
  at::Tensor embedding_;
  at::Tensor final_norm_;
  at::Tensor head_;
};

}  // namespace prune_sweep
