#include "prune_sweep/model/model_config.hpp"

#include "model/family.hpp"
#include "model/json_keys.hpp"
#include "model/rope_config.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/json_file.hpp"

namespace prune_sweep {

namespace {

using nlohmann::json;

constexpr size_t kMaxConfigBytes = 16 << 20;

/// Unless the key is missing, null or has the one value that is supported.
void require_supported(const JsonKeys& keys, const ForwardOption& option) {
  if (keys.has(option.key) && keys.value(option.key) != option.supported) {
    keys.refuse(
        option.key,
        "changes the forward pass in a way that is not supported",
        "Supported is " + option.supported.dump() + ".");
  }
}

/// Options that no supported family has.
const std::vector<ForwardOption>& common_options() {
  static const std::vector<ForwardOption> kOptions{
      {"hidden_act", "silu"},
      {"mlp_bias", false},
      {"partial_rotary_factor", 1.0},
      {"quantization_config", nullptr},
  };
  return kOptions;
}

std::vector<std::string_view> architectures() {
  std::vector<std::string_view> names;
  for (const Family& family : families()) names.push_back(family.architecture);
  return names;
}

const Family& find_family(const JsonKeys& keys) {
  const char* key = keys.has("architectures") ? "architectures" : "model_type";
  const json* name = &keys.value(key);
  if (name->is_array() && name->size() == 1) name = &name->front();
  if (!name->is_string()) keys.refuse(key, "must name one architecture");
  for (const Family& family : families()) {
    const auto text = name->get<std::string>();
    if (text == family.architecture || text == family.model_type) return family;
  }
  keys.refuse(key, "not a supported architecture", "Supported: " + listed(architectures()) + ".");
}

void require_full_attention(const JsonKeys& keys, int32_t num_layers) {
  if (!keys.has("layer_types")) return;
  const json& types = keys.value("layer_types");
  if (!types.is_array() || types.size() != static_cast<size_t>(num_layers)) {
    keys.refuse("layer_types", "must name one type for each of num_hidden_layers");
  }
  for (const json& type : types) {
    if (type != "full_attention") {
      keys.refuse("layer_types", brief(type) + " is not supported", "Supported: full_attention.");
    }
  }
}

std::vector<int32_t> read_eos_ids(
    const std::string& source, const json& object, int32_t vocab_size) {
  constexpr const char* kKey = "eos_token_id";
  const JsonKeys keys(source, object);
  if (!keys.has(kKey)) return {};
  const json& found = keys.value(kKey);
  std::vector<int32_t> ids;
  for (const json& id : found.is_array() ? found : json::array({found})) {
    const json single{{kKey, id}};
    ids.push_back(JsonKeys(source, single).integer(kKey, 0, vocab_size - 1));
  }
  return ids;
}

int32_t read_kv_heads(const JsonKeys& keys, const Family& family, const ModelConfig& config) {
  constexpr const char* kKey = "num_key_value_heads";
  if (keys.has(kKey)) return keys.integer(kKey, 1, 1 << 12);
  const bool has_default = !keys.names(kKey) && family.default_kv_heads > 0;
  return has_default ? family.default_kv_heads : config.heads;
}

int32_t read_head_dim(const JsonKeys& keys, const Family& family, const ModelConfig& config) {
  if (keys.has("head_dim")) return keys.integer("head_dim", 2, 1 << 12);
  if (family.default_head_dim > 0) return family.default_head_dim;
  if (config.hidden % config.heads != 0) {
    keys.refuse(
        "hidden_size", "must be a multiple of num_attention_heads where head_dim is missing");
  }
  return config.hidden / config.heads;
}

/// All but the end-of-text ids.
ModelConfig read_forward_pass(const JsonKeys& keys) {
  const Family& family = find_family(keys);
  for (const ForwardOption& option : common_options()) require_supported(keys, option);
  for (const ForwardOption& option : family.options) require_supported(keys, option);
  if (family.require != nullptr) family.require(keys);

  ModelConfig config;
  config.architecture = family.architecture;
  config.qk_norm = family.qk_norm;
  config.attention_bias = family.attention_bias;
  config.num_layers = keys.integer("num_hidden_layers", 1, 1 << 12);
  config.hidden = keys.integer("hidden_size", 1, 1 << 18);
  config.intermediate = keys.integer("intermediate_size", 1, 1 << 20);
  config.heads = keys.integer("num_attention_heads", 1, 1 << 12);
  config.kv_heads = read_kv_heads(keys, family, config);
  config.head_dim = read_head_dim(keys, family, config);
  config.vocab_size = keys.integer("vocab_size", 1, 1 << 24);
  config.max_positions = keys.integer("max_position_embeddings", 1, 1 << 30);
  config.norm_eps = keys.number("rms_norm_eps", 0);
  config.rope = read_rope_config(keys);
  config.tied_head = keys.has("tie_word_embeddings") && keys.boolean("tie_word_embeddings");
  if (config.heads % config.kv_heads != 0) {
    keys.refuse("num_key_value_heads", "must divide num_attention_heads");
  }
  if (config.head_dim % 2 != 0) keys.refuse("head_dim", "must be even");
  require_full_attention(keys, config.num_layers);
  return config;
}

}  // namespace

ModelConfig read_model_config(const std::filesystem::path& model_dir) {
  const std::string source = (model_dir / "config.json").string();
  const json object = read_json_object(source, kMaxConfigBytes);
  ModelConfig config = read_forward_pass({source, object});

  const std::filesystem::path generation = model_dir / "generation_config.json";
  std::error_code error;
  if (std::filesystem::exists(generation, error)) {
    const json generation_object = read_json_object(generation, kMaxConfigBytes);
    config.eos_ids = read_eos_ids(generation.string(), generation_object, config.vocab_size);
  }
  if (config.eos_ids.empty()) config.eos_ids = read_eos_ids(source, object, config.vocab_size);
  return config;
}

ModelConfig parse_model_config(std::string_view text, const std::string& source) {
  const json object = parse_json_object(text, source);
  ModelConfig config = read_forward_pass({source, object});
  config.eos_ids = read_eos_ids(source, object, config.vocab_size);
  return config;
}

ModelShape model_shape(const ModelConfig& config) {
  const int64_t hidden = config.hidden;
  const int64_t q_width = int64_t{config.heads} * config.head_dim;
  const int64_t kv_width = int64_t{config.kv_heads} * config.head_dim;

  ModelShape shape;
  shape.num_layers = config.num_layers;
  shape.attention_parameters = hidden * (2 * q_width + 2 * kv_width);
  shape.mlp_parameters = 3 * hidden * config.intermediate;
  shape.layer_other_parameters = 2 * hidden;
  if (config.qk_norm) shape.layer_other_parameters += 2 * config.head_dim;
  if (config.attention_bias) shape.layer_other_parameters += q_width + 2 * kv_width;
  // A multiplication and an addition for the score, the same for the weighted sum.
  shape.attention_flops_per_pair = 4 * q_width;
  shape.head_parameters = config.vocab_size * hidden;
  shape.num_parameters = (config.tied_head ? 1 : 2) * shape.head_parameters + hidden +
                         config.num_layers * (shape.attention_parameters + shape.mlp_parameters +
                                              shape.layer_other_parameters);
  return shape;
}

}  // namespace prune_sweep
