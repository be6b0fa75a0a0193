/// \file
/// Families of models: what an architecture adds to the decoder all of them share (RMSNorm, RoPE,
/// grouped attention, gated MLP). A new family is a file in families/ and a row of the table.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "model/json_keys.hpp"

namespace prune_sweep {

/// A key of config.json that changes the forward pass, with the only value that is supported.
struct ForwardOption {
  const char* key;
  nlohmann::json supported;  ///< besides null and no such key at all
};

/// Defaults are those of the family's configuration class in transformers.
struct Family {
  std::string_view architecture;  ///< in config.json's `architectures`
  std::string_view model_type;    ///< stands for it where `architectures` is missing
  bool qk_norm = false;           ///< see ModelConfig
  bool attention_bias = false;    ///< see ModelConfig
  int32_t default_head_dim = 0;   ///< without the key or with null; 0: hidden_size / heads
  int32_t default_kv_heads = 0;   ///< without the key; 0, and always with null: as many as heads
  std::vector<ForwardOption> options;
  /// Refuses what the options cannot express; may be null.
  void (*require)(const JsonKeys& config) = nullptr;
};

/// The table of families.
const std::vector<Family>& families();

Family llama_family();
Family mistral_family();
Family qwen2_family();
Family qwen3_family();

}  // namespace prune_sweep
