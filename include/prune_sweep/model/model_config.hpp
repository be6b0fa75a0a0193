/// \file
/// config.json of a decoder-only model, as far as its forward pass depends on it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/core/plan.hpp"

namespace prune_sweep {

/// How RoPE's frequencies are stretched for longer texts (transformers: modeling_rope_utils.py).
enum class RopeScaling : uint8_t {
  kNone,
  kLinear,  ///< every frequency divided by `factor`
  kLlama3,  ///< low frequencies divided by `factor`, high ones kept, those between interpolated
};

/// Rotary position embedding: the frequency of dimension pair i is theta^(-2i / head_dim), scaled.
struct RopeConfig {
  double theta = 10000;  ///< where config.json has none, as in transformers; Llama 2 relies on it
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  /// kLlama3: turns over `original_max_positions` below which a frequency is low, above which high.
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  int32_t original_max_positions = 0;
};

/// Dimensions as in the shapes written throughout the engine.
struct ModelConfig {
  std::string architecture;  ///< row of the family table
  int32_t num_layers = 0;
  int32_t hidden = 0;
  int32_t intermediate = 0;  ///< MLP width
  int32_t heads = 0;         ///< query heads
  int32_t kv_heads = 0;      ///< divides heads
  int32_t head_dim = 0;      ///< even; need not be hidden / heads
  int32_t vocab_size = 0;    ///< rows of the embedding, padding rows included
  int32_t max_positions = 0;
  double norm_eps = 1e-6;  ///< RMSNorm
  RopeConfig rope;
  bool tied_head = false;        ///< the LM head is the embedding, even when the file stores a copy
  bool qk_norm = false;          ///< RMSNorm on each head of q and k before RoPE
  bool attention_bias = false;   ///< q, k and v have a bias
  std::vector<int32_t> eos_ids;  ///< of generation_config.json, else of config.json
};

/// Reads MODEL_DIR/config.json and generation_config.json. Throws Error (kBadInput) naming file and
/// key: a missing or impossible value, an architecture that is not supported (listing those that
/// are), an option that would change the forward pass and is not supported.
ModelConfig read_model_config(const std::filesystem::path& model_dir);
/// As read_model_config, from the text of config.json alone; `source` names it in messages.
ModelConfig parse_model_config(std::string_view text, const std::string& source);

/// What costs and sizes follow from.
ModelShape model_shape(const ModelConfig& config);

}  // namespace prune_sweep
