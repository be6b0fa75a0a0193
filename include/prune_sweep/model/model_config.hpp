/// \file
/// config.json of a decoder-only model, as far as its forward pass depends on it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "prune_sweep/core/plan.hpp"

namespace prune_sweep {

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
  double rope_theta = 10000;
  bool tied_head = false;        ///< the LM head is the embedding, even when the file stores a copy
  bool qk_norm = false;          ///< RMSNorm on each head of q and k before RoPE
  bool attention_bias = false;   ///< q, k and v have a bias
  std::vector<int32_t> eos_ids;  ///< of generation_config.json, else of config.json
};

/// Reads MODEL_DIR/config.json and generation_config.json. Throws Error (kBadInput) naming file and
/// key: a missing or impossible value, an architecture that is not supported (listing those that
/// are), an option that would change the forward pass and is not supported.
ModelConfig read_model_config(const std::filesystem::path& model_dir);

/// What costs and sizes follow from.
ModelShape model_shape(const ModelConfig& config);

}  // namespace prune_sweep
