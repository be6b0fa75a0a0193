#include "model/family.hpp"

namespace prune_sweep {

// Llama 1, 2 and 3.x. transformers: models/llama/modeling_llama.py, configuration_llama.py.
Family llama_family() {
  return {
      .architecture = "LlamaForCausalLM",
      .model_type = "llama",
      // With attention_bias o_proj has a bias, too.
      .options = {{"attention_bias", false}},
  };
}

}  // namespace prune_sweep
