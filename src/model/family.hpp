/// \file
/// Families of models: what an architecture adds to the decoder all of them share (RMSNorm, RoPE,
/// grouped attention, gated MLP). A new family is a file in families/ and a row of the table.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

namespace prune_sweep {

/// A key of config.json that changes the forward pass, with the only value that is supported.
struct ForwardOption {
  std::string_view key;
  nlohmann::json supported;  ///< besides null and no such key at all
};

struct Family {
  std::string_view architecture;  ///< in config.json's `architectures`
  std::string_view model_type;    ///< stands for it where `architectures` is missing
  bool qk_norm = false;           ///< see ModelConfig
  bool attention_bias = false;    ///< see ModelConfig
  int32_t default_head_dim =
      0;  ///< where config.json has none; 0: hidden_size / num_attention_heads
  std::vector<ForwardOption> options;
};

/// The table of families.
const std::vector<Family>& families();

Family qwen3_family();

}  // namespace prune_sweep
