#include "model/family.hpp"

namespace prune_sweep {

namespace {

/// A window that reaches over all positions there are hides nothing.
void require_no_window(const JsonKeys& config) {
  constexpr const char* kKey = "sliding_window";
  constexpr int32_t kDefaultWindow = 4096;
  if (config.names(kKey) && !config.has(kKey)) return;
  const int32_t window = config.has(kKey) ? config.integer(kKey, 1, INT32_MAX) : kDefaultWindow;
  if (window >= config.integer("max_position_embeddings", 1, INT32_MAX)) return;
  const std::string suggestion = "A max_position_embeddings of at most " + std::to_string(window) +
                                 " runs the texts that fit into the window.";
  if (config.has(kKey)) config.refuse(kKey, "sliding windows are not supported", suggestion);
  config.refuse(
      "max_position_embeddings",
      "without sliding_window attention slides over " + std::to_string(window) +
          " positions, which is not supported",
      suggestion);
}

}  // namespace

// transformers: models/mistral/modeling_mistral.py, configuration_mistral.py.
Family mistral_family() {
  return {
      .architecture = "MistralForCausalLM",
      .model_type = "mistral",
      .default_kv_heads = 8,
      .require = require_no_window,
  };
}

}  // namespace prune_sweep
