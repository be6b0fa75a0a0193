#include "model/family.hpp"

namespace prune_sweep {

// Qwen2 and Qwen2.5. transformers: models/qwen2/modeling_qwen2.py, configuration_qwen2.py.
Family qwen2_family() {
  return {
      .architecture = "Qwen2ForCausalLM",
      .model_type = "qwen2",
      .attention_bias = true,
      .default_kv_heads = 32,
      .options = {{"use_sliding_window", false}},
  };
}

}  // namespace prune_sweep
