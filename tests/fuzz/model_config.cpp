#include "prune_sweep/model/model_config.hpp"

#include "fuzz/reader.hpp"
#include "prune_sweep/model/checkpoint.hpp"

using namespace prune_sweep;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz(data, size, [](std::string_view text) {
    ModelConfig config = parse_model_config(text, "config.json");
    expect(config.heads % config.kv_heads == 0 && config.head_dim % 2 == 0);
    expect(model_shape(config).num_parameters > 0);
    config.num_layers = 1;  // the names of thousands would only take time
    expect(!expected_tensors(config).empty());
  });
}
