#include "model/family.hpp"

namespace prune_sweep {

// transformers: models/qwen3/modeling_qwen3.py, configuration_qwen3.py.
Family qwen3_family() {
  return {
      .architecture = "Qwen3ForCausalLM",
      .model_type = "qwen3",
      .qk_norm = true,
      .attention_bias = false,
      .default_head_dim = 128,
      .default_kv_heads = 32,
      // transformers puts a bias on o_proj, too, where attention_bias is set.
      .options = {{"attention_bias", false}, {"use_sliding_window", false}},
  };
}

}  // namespace prune_sweep
