/// \file
/// Model directories made at test time: config.json and safetensors files, right ones and others.
#pragma once

#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace prune_sweep {

using OrderedJson = nlohmann::ordered_json;

struct FileTensor {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

/// A safetensors file of any header text and any data.
inline std::string safetensors_of(const std::string& header, const std::string& data) {
  std::string file(8, '\0');
  const uint64_t size = header.size();
  std::memcpy(file.data(), &size, sizeof size);
  return file + header + data;
}

/// The header that describes `tensors` one behind the other.
inline OrderedJson header_of(const std::vector<FileTensor>& tensors) {
  OrderedJson header{{"__metadata__", {{"format", "pt"}}}};
  size_t offset = 0;
  for (const FileTensor& tensor : tensors) {
    const size_t end = offset + tensor.bytes.size();
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  return header;
}

inline std::string data_of(const std::vector<FileTensor>& tensors) {
  std::string data;
  for (const FileTensor& tensor : tensors) data += tensor.bytes;
  return data;
}

inline std::string safetensors_of(const std::vector<FileTensor>& tensors) {
  return safetensors_of(header_of(tensors).dump(), data_of(tensors));
}

/// config.json of a Qwen3 with one layer and few weights.
inline OrderedJson small_config() {
  return OrderedJson::parse(R"({
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": false, "head_dim": 4,
    "hidden_act": "silu", "hidden_size": 6, "intermediate_size": 10, "max_position_embeddings": 64,
    "num_attention_heads": 4, "num_hidden_layers": 1, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
    "rope_scaling": null, "rope_theta": 10000, "sliding_window": null, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "use_sliding_window": false, "vocab_size": 12, "eos_token_id": 3})");
}

/// The tensors of small_config(), zeros.
inline std::vector<FileTensor> small_tensors() {
  const std::string layer = "model.layers.0.";
  std::vector<FileTensor> tensors{
      {"model.embed_tokens.weight", "BF16", {12, 6}, {}},
      {layer + "input_layernorm.weight", "BF16", {6}, {}},
      {layer + "self_attn.q_proj.weight", "BF16", {16, 6}, {}},
      {layer + "self_attn.k_proj.weight", "BF16", {8, 6}, {}},
      {layer + "self_attn.v_proj.weight", "BF16", {8, 6}, {}},
      {layer + "self_attn.o_proj.weight", "BF16", {6, 16}, {}},
      {layer + "self_attn.q_norm.weight", "BF16", {4}, {}},
      {layer + "self_attn.k_norm.weight", "BF16", {4}, {}},
      {layer + "post_attention_layernorm.weight", "BF16", {6}, {}},
      {layer + "mlp.gate_proj.weight", "BF16", {10, 6}, {}},
      {layer + "mlp.up_proj.weight", "BF16", {10, 6}, {}},
      {layer + "mlp.down_proj.weight", "BF16", {6, 10}, {}},
      {"model.norm.weight", "BF16", {6}, {}},
      {"lm_head.weight", "BF16", {12, 6}, {}},
  };
  for (FileTensor& tensor : tensors) {
    size_t size = 2;
    for (const int64_t dim : tensor.shape) size *= static_cast<size_t>(dim);
    tensor.bytes.assign(size, '\0');
  }
  return tensors;
}

inline FileTensor& tensor_named(std::vector<FileTensor>& tensors, const std::string& name) {
  for (FileTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::out_of_range(name);
}

}  // namespace prune_sweep
