#include "prune_sweep/model/model_config.hpp"

#include <fstream>

#include "core/message_of.hpp"
#include "model/checkpoint_files.hpp"
#include "model/family.hpp"
#include "prune_sweep/model/checkpoint.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace {

ModelConfig read(const std::string& config_json, const std::string& generation_json = {}) {
  const TempDir dir;
  dir.write("config.json", config_json);
  if (!generation_json.empty()) dir.write("generation_config.json", generation_json);
  return read_model_config(dir.path());
}

/// small_config() with members set to those of `changes`.
OrderedJson changed(const OrderedJson& changes) {
  OrderedJson config = small_config();
  config.update(changes);
  return config;
}

OrderedJson without(const std::string& key) {
  OrderedJson config = small_config();
  config.erase(key);
  return config;
}

}  // namespace

TEST_CASE("the published configuration of Qwen3-0.6B is read as it is meant") {
  const ModelConfig config = read_model_config(std::string(PRUNE_SWEEP_DATA_DIR) + "/qwen3-0.6b");
  CHECK(config.architecture == "Qwen3ForCausalLM");
  CHECK(config.num_layers == 28);
  CHECK(config.hidden == 1024);
  CHECK(config.intermediate == 3072);
  CHECK(config.heads == 16);
  CHECK(config.kv_heads == 8);
  CHECK(config.head_dim == 128);
  CHECK(config.vocab_size == 151936);
  CHECK(config.max_positions == 40960);
  CHECK(config.norm_eps == 1e-6);
  CHECK(config.rope.theta == 1e6);
  CHECK(config.tied_head);
  CHECK(config.qk_norm);
  CHECK_FALSE(config.attention_bias);
  CHECK(config.eos_ids == std::vector<int32_t>{151645, 151643});
}

TEST_CASE(
    "sizes follow from the configuration: Qwen3-0.6B has the published number of parameters") {
  // The model's card: 0.6 B parameters, 0.44 B without embedding; exactly 596,049,920 in the
  // published file.
  const ModelShape shape =
      model_shape(read_model_config(std::string(PRUNE_SWEEP_DATA_DIR) + "/qwen3-0.6b"));
  CHECK(shape.num_parameters == 596'049'920);
  CHECK(shape.attention_parameters + shape.mlp_parameters == 15'728'640);
  CHECK(shape.attention_parameters == 1024 * (2048 + 1024 + 1024) + 2048 * 1024);
  CHECK(shape.layer_other_parameters == 2 * 1024 + 2 * 128);
  CHECK(shape.attention_flops_per_pair == 4 * 16 * 128);
  CHECK(shape.head_parameters == 155'582'464);
  CHECK(shape.num_layers == 28);
}

TEST_CASE("in every family the expected tensors add up to the number of parameters") {
  for (const Family& family : families()) {
    for (const bool tied : {false, true}) {
      CAPTURE(family.architecture, tied);
      const ModelConfig config =
          read(changed({{"architectures", {family.architecture}}, {"tie_word_embeddings", tied}})
                   .dump());
      CHECK(config.architecture == family.architecture);
      int64_t total = 0;
      for (const ExpectedTensor& tensor : expected_tensors(config)) {
        int64_t size = 1;
        for (const int64_t dim : tensor.shape) size *= dim;
        total += size;
      }
      CHECK(total == model_shape(config).num_parameters);
    }
  }
}

TEST_CASE("published configurations of other families have their published sizes") {
  // config.json of Llama-3.2-1B, Qwen2.5-0.5B, Mistral-7B-v0.3 and Llama-2-7b as far as they matter
  // here; the numbers of parameters are those of their safetensors files on the hub.
  struct Published {
    std::string config;
    int64_t num_parameters;
    int32_t head_dim;
    RopeScaling scaling;
  };
  const std::vector<Published> models{
      {R"({"architectures": ["LlamaForCausalLM"], "head_dim": 64, "hidden_size": 2048,
           "intermediate_size": 8192, "max_position_embeddings": 131072, "num_attention_heads": 32,
           "num_hidden_layers": 16, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
           "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                            "original_max_position_embeddings": 8192, "rope_type": "llama3"},
           "rope_theta": 500000.0, "tie_word_embeddings": true, "vocab_size": 128256})",
       1'235'814'400,
       64,
       RopeScaling::kLlama3},
      {R"({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 896, "intermediate_size": 4864,
           "max_position_embeddings": 32768, "max_window_layers": 24, "num_attention_heads": 14,
           "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
           "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true,
           "use_sliding_window": false, "vocab_size": 151936})",
       494'032'768,
       64,
       RopeScaling::kNone},
      {R"({"architectures": ["MistralForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
           "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32,
           "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
           "sliding_window": null, "tie_word_embeddings": false, "vocab_size": 32768})",
       7'248'023'552,
       128,
       RopeScaling::kNone},
      {R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 11008,
           "max_position_embeddings": 4096, "num_attention_heads": 32, "num_hidden_layers": 32,
           "num_key_value_heads": 32, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
           "rope_scaling": null, "tie_word_embeddings": false, "vocab_size": 32000})",
       6'738'415'616,
       128,
       RopeScaling::kNone},
  };
  for (const Published& model : models) {
    CAPTURE(model.config);
    const ModelConfig config = read(model.config);
    CHECK(model_shape(config).num_parameters == model.num_parameters);
    CHECK(config.head_dim == model.head_dim);
    CHECK(config.rope.scaling == model.scaling);
  }
}

TEST_CASE("keys that are missing have the defaults of the family's class in transformers") {
  OrderedJson config = without("rope_theta");
  CHECK(read(config.dump()).rope.theta == 10000);
  // hidden_size 6, num_attention_heads 4 make no head_dim.
  config.update({{"num_attention_heads", 32}, {"hidden_size", 128}});
  for (const char* key : {"num_key_value_heads", "head_dim"}) config.erase(key);
  struct Defaults {
    std::string architecture;
    int32_t kv_heads;
    int32_t head_dim;
  };
  for (const Defaults& family : std::vector<Defaults>{
           {"LlamaForCausalLM", 32, 4},
           {"MistralForCausalLM", 8, 4},
           {"Qwen2ForCausalLM", 32, 4},
           {"Qwen3ForCausalLM", 32, 128}}) {
    CAPTURE(family.architecture);
    config["architectures"] = {family.architecture};
    CHECK(read(config.dump()).kv_heads == family.kv_heads);
    CHECK(read(config.dump()).head_dim == family.head_dim);
  }
  config["architectures"] = {"MistralForCausalLM"};
  config["num_key_value_heads"] = nullptr;
  CHECK(read(config.dump()).kv_heads == 32);
}

TEST_CASE("a window over all positions is none") {
  OrderedJson config = changed({{"architectures", {"MistralForCausalLM"}}});
  CHECK_NOTHROW(read(config.dump()));
  config["sliding_window"] = 64;
  CHECK_NOTHROW(read(config.dump()));
  config["sliding_window"] = 63;
  CHECK_THAT(
      refusal_of([&] { read(config.dump()); }),
      ContainsSubstring("sliding_window=63 (sliding windows are not supported)"));
  config.erase("sliding_window");
  CHECK_NOTHROW(read(config.dump()));
  config["max_position_embeddings"] = 4097;
  CHECK_THAT(
      refusal_of([&] { read(config.dump()); }),
      ContainsSubstring("max_position_embeddings=4097 (without sliding_window"));
}

TEST_CASE("RoPE scaling is read from either place") {
  const OrderedJson llama3 = {
      {"rope_type", "llama3"},
      {"factor", 8.0},
      {"low_freq_factor", 1.0},
      {"high_freq_factor", 4.0},
      {"original_max_position_embeddings", 32}};
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const RopeConfig rope = read(changed({{key, llama3}}).dump()).rope;
    CHECK(rope.scaling == RopeScaling::kLlama3);
    CHECK(rope.theta == 10000);
    CHECK(rope.factor == 8);
    CHECK(rope.low_frequency_factor == 1);
    CHECK(rope.high_frequency_factor == 4);
    CHECK(rope.original_max_positions == 32);
  }
  const OrderedJson outside =
      changed({{"rope_scaling", llama3}, {"original_max_position_embeddings", 16}});
  CHECK(read(outside.dump()).rope.original_max_positions == 16);
  const RopeConfig linear =
      read(changed({{"rope_scaling", {{"type", "linear"}, {"factor", 2.5}}}}).dump()).rope;
  CHECK(linear.scaling == RopeScaling::kLinear);
  CHECK(linear.factor == 2.5);
  CHECK(
      read(changed({{"rope_scaling", OrderedJson::object()}}).dump()).rope.scaling ==
      RopeScaling::kNone);
}

TEST_CASE("what other writers of config.json do differently is understood") {
  SECTION("neither architectures nor hidden_act") {
    const ModelConfig config = read_model_config(std::string(PRUNE_SWEEP_DATA_DIR) + "/tiny-qwen3");
    CHECK(config.architecture == "Qwen3ForCausalLM");
    CHECK(config.rope.theta == 1e6);
    CHECK(config.eos_ids.empty());
  }
  SECTION("rope_parameters and dtype, as transformers 5 writes") {
    OrderedJson newer = without("rope_theta");
    newer.erase("torch_dtype");
    newer["dtype"] = "float32";
    newer["rope_parameters"] = {{"rope_theta", 5000.0}, {"rope_type", "default"}};
    CHECK(read(newer.dump()).rope.theta == 5000);
    newer["rope_theta"] = 5000;
    CHECK(read(newer.dump()).rope.theta == 5000);
  }
  SECTION("layer_types that are all full attention") {
    CHECK(read(changed({{"layer_types", {"full_attention"}}}).dump()).num_layers == 1);
  }
  SECTION("no head_dim: the family's own") {
    CHECK(read(without("head_dim").dump()).head_dim == 128);
  }
  SECTION("no tie_word_embeddings") {
    CHECK_FALSE(read(without("tie_word_embeddings").dump()).tied_head);
  }
  SECTION("null for what is not set") {
    CHECK(
        read(changed({{"quantization_config", nullptr}, {"layer_types", nullptr}}).dump()).hidden ==
        6);
  }
}

TEST_CASE("end-of-text ids are those of generation_config.json, else of config.json") {
  const std::string config = small_config().dump();
  CHECK(read(config).eos_ids == std::vector<int32_t>{3});
  CHECK(read(config, R"({"eos_token_id": [5, 7]})").eos_ids == std::vector<int32_t>{5, 7});
  CHECK(read(config, R"({"eos_token_id": 0})").eos_ids == std::vector<int32_t>{0});
  CHECK(read(config, R"({"temperature": 1})").eos_ids == std::vector<int32_t>{3});
  CHECK(read(without("eos_token_id").dump()).eos_ids.empty());
}

TEST_CASE("a configuration that cannot be used is refused, file and key named") {
  struct Fault {
    OrderedJson change;
    std::vector<std::string> named;
  };
  const std::vector<Fault> faults{
      {{{"architectures", {"GPT2LMHeadModel"}}},
       {"architectures", "GPT2LMHeadModel", "LlamaForCausalLM", "Qwen3ForCausalLM"}},
      {{{"architectures", {"Qwen3ForCausalLM", "x"}}}, {"architectures", "one architecture"}},
      {{{"architectures", 7}}, {"architectures=7"}},
      {{{"architectures", nullptr}, {"model_type", "mamba"}}, {"model_type", "mamba", "Supported"}},
      {{{"architectures", nullptr}, {"model_type", nullptr}}, {"model_type", "missing"}},
      {{{"hidden_size", 0}}, {"hidden_size=0"}},
      {{{"hidden_size", -1024}}, {"hidden_size=-1024"}},
      {{{"hidden_size", "6"}}, {"hidden_size", "integer"}},
      {{{"hidden_size", 6.0}}, {"hidden_size", "integer"}},
      {{{"hidden_size", true}}, {"hidden_size", "integer"}},
      {{{"hidden_size", 18446744073709551615ULL}},
       {"hidden_size=18446744073709551615", "must be in"}},
      {{{"num_hidden_layers", 1 << 30}}, {"num_hidden_layers", "must be in"}},
      {{{"num_attention_heads", nullptr}}, {"num_attention_heads", "missing"}},
      {{{"num_key_value_heads", 3}}, {"num_key_value_heads=3", "divide"}},
      {{{"num_key_value_heads", 8}}, {"num_key_value_heads=8", "divide"}},
      {{{"head_dim", 5}}, {"head_dim=5", "even"}},
      {{{"intermediate_size", nlohmann::json::array()}}, {"intermediate_size=[]"}},
      {{{"vocab_size", 0}}, {"vocab_size=0"}},
      {{{"max_position_embeddings", 0}}, {"max_position_embeddings=0"}},
      {{{"rms_norm_eps", 0}}, {"rms_norm_eps=0"}},
      {{{"rms_norm_eps", "1e-6"}}, {"rms_norm_eps", "number"}},
      {{{"rope_theta", -1}}, {"rope_theta=-1"}},
      {{{"rope_theta", nullptr}}, {"rope_theta", "missing"}},
      {{{"rope_scaling", {{"type", "yarn"}, {"factor", 4}}}}, {"rope_scaling", "not supported"}},
      {{{"rope_parameters", {{"rope_theta", 1e4}, {"rope_type", "yarn"}}}}, {"rope_type=\"yarn\""}},
      {{{"rope_parameters", {{"rope_theta", 1e4}, {"factor", 2}}}}, {"factor=2"}},
      {{{"rope_parameters", {{"rope_theta", 5.0}}}}, {"rope_theta", "differs"}},
      {{{"rope_parameters", 3}}, {"rope_parameters=3", "object"}},
      {{{"rope_scaling", {{"type", "yarn"}, {"factor", 4}}}}, {"yarn", "default, linear, llama3"}},
      {{{"rope_scaling", {{"rope_type", 3}}}}, {"rope_type=3", "text"}},
      {{{"rope_scaling", {{"type", "linear"}}}}, {"rope_scaling", "factor", "missing"}},
      {{{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}, {"factor=0", "above"}},
      {{{"rope_scaling", {{"type", "linear"}, {"factor", 2}, {"truncate", 1}}}}, {"truncate=1"}},
      {{{"rope_parameters", {{"partial_rotary_factor", 0.5}}}}, {"partial_rotary_factor=0.5"}},
      {{{"rope_parameters", {{"full_attention", {{"rope_theta", 1e4}}}}}},
       {"full_attention={...}"}},
      {{{"rope_scaling",
         {{"type", "llama3"},
          {"factor", 8},
          {"low_freq_factor", 4},
          {"high_freq_factor", 4},
          {"original_max_position_embeddings", 32}}}},
       {"high_freq_factor=4", "above"}},
      {{{"architectures", {"LlamaForCausalLM"}}, {"attention_bias", true}},
       {"attention_bias=true"}},
      {{{"architectures", {"LlamaForCausalLM"}}, {"head_dim", nullptr}},
       {"hidden_size=6", "multiple"}},
      {{{"architectures", {"LlamaForCausalLM"}}, {"head_dim", nullptr}, {"hidden_size", 12}},
       {"config.json: head_dim", "even"}},
      {{{"architectures", {"Qwen2ForCausalLM"}}, {"use_sliding_window", true}},
       {"use_sliding_window=true"}},
      {{{"partial_rotary_factor", 0.5}}, {"partial_rotary_factor=0.5"}},
      {{{"use_sliding_window", true}}, {"use_sliding_window=true"}},
      {{{"attention_bias", true}}, {"attention_bias=true"}},
      {{{"mlp_bias", true}}, {"mlp_bias=true"}},
      {{{"hidden_act", "gelu"}}, {"hidden_act=\"gelu\"", "silu"}},
      {{{"quantization_config", {{"bits", 4}}}}, {"quantization_config"}},
      {{{"layer_types", {"sliding_attention"}}}, {"layer_types", "sliding_attention"}},
      {{{"layer_types", {"full_attention", "full_attention"}}},
       {"layer_types", "num_hidden_layers"}},
      {{{"tie_word_embeddings", 1}}, {"tie_word_embeddings=1", "true or false"}},
      {{{"eos_token_id", 12}}, {"eos_token_id=12", "must be in"}},
      {{{"eos_token_id", "x"}}, {"eos_token_id", "integer"}},
      {{{"eos_token_id", {1, 1.5}}}, {"eos_token_id=1.5"}},
  };
  for (const Fault& fault : faults) {
    const std::string text = changed(fault.change).dump();
    const std::string message = refusal_of([&] { read(text); });
    INFO(fault.change.dump() << " gives: " << message);
    CHECK_THAT(message, ContainsSubstring("config.json"));
    for (const std::string& name : fault.named) CHECK_THAT(message, ContainsSubstring(name));
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("a config.json that is no JSON object is refused by name") {
  const std::string deep(100'000, '[');
  const std::vector<std::string> texts{
      "",
      "{",
      "[]",
      "null",
      "{\"hidden_size\": 6, \"hidden_size\": 7}",
      "\xff\xfe",
      "{\"a\": \"\x01\"}",
      deep,
      "{\"a\": " + deep,
      small_config().dump() + "x"};
  for (const std::string& text : texts) {
    INFO(text.substr(0, 60));
    CHECK_THAT(refusal_of([&] { read(text); }), ContainsSubstring("config.json"));
    if (text.empty()) continue;
    const std::string config = small_config().dump();
    CHECK_THAT(
        refusal_of([&] { read(config, text); }), ContainsSubstring("generation_config.json"));
  }
  const TempDir empty;
  CHECK_THAT(
      refusal_of([&] { read_model_config(empty.path()); }),
      ContainsSubstring("config.json") && ContainsSubstring("no such file"));
}

TEST_CASE("a huge config.json is refused before it is read") {
  const TempDir dir;
  std::filesystem::resize_file(dir.write("config.json", "{"), uintmax_t{1} << 40);
  CHECK_THAT(
      refusal_of([&] { read_model_config(dir.path()); }),
      ContainsSubstring("config.json") && ContainsSubstring("larger than"));
}
