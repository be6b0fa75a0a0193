/// \file
/// Small Qwen3 models with seeded random weights, written at test time, and requests to ask them.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "model/checkpoint_files.hpp"
#include "prune_sweep/engine/engine.hpp"
#include "temp_dir.hpp"

namespace prune_sweep {

struct RandomShape {
  int64_t layers = 3;
  int64_t hidden = 48;
  int64_t intermediate = 80;
  int64_t heads = 4;
  int64_t kv_heads = 2;
  int64_t head_dim = 16;
  int64_t vocab = 100;
  bool tied = false;
};

inline std::string stored_bytes(const std::vector<float>& values, const std::string& dtype) {
  std::string bytes;
  for (const float value : values) {
    const auto word = std::bit_cast<uint32_t>(value);
    if (dtype == "BF16") {
      const auto half = static_cast<uint16_t>(word >> 16);
      bytes.append(reinterpret_cast<const char*>(&half), sizeof half);
    } else {
      bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
    }
  }
  return bytes;
}

/// A model directory that lasts as long as the object, with a tokenizer of the printable ASCII
/// characters as ids 0 to 93, the space as 94, the line feed as 95 and the special token <stop>,
/// the end of text, as 96.
class RandomModel {
 public:
  explicit RandomModel(
      const RandomShape& shape, const std::string& dtype = "BF16", uint32_t seed = 1)
      : random_(seed), dtype_(dtype) {
    OrderedJson config = small_config();
    config.update(
        {{"num_hidden_layers", shape.layers},
         {"hidden_size", shape.hidden},
         {"intermediate_size", shape.intermediate},
         {"num_attention_heads", shape.heads},
         {"num_key_value_heads", shape.kv_heads},
         {"head_dim", shape.head_dim},
         {"vocab_size", shape.vocab},
         {"tie_word_embeddings", shape.tied},
         {"max_position_embeddings", 4096},
         {"eos_token_id", 96}});
    dir_.write("config.json", config.dump());
    dir_.write("tokenizer.json", tokenizer_json().dump());
    dir_.write("model.safetensors", safetensors_of(tensors(shape)));
  }

  const std::filesystem::path& path() const { return dir_.path(); }

 private:
  FileTensor tensor(
      const std::string& name, std::vector<int64_t> shape, double mean, double deviation) {
    std::normal_distribution<double> normal(mean, deviation);
    int64_t size = 1;
    for (const int64_t dim : shape) size *= dim;
    std::vector<float> values(static_cast<size_t>(size));
    for (float& value : values) value = static_cast<float>(normal(random_));
    return {name, dtype_, std::move(shape), stored_bytes(values, dtype_)};
  }

  std::vector<FileTensor> tensors(const RandomShape& shape) {
    std::vector<FileTensor> all;
    const auto add = [&](const std::string& name, int64_t rows, int64_t columns) {
      all.push_back(tensor(name, {rows, columns}, 0, 1 / std::sqrt(static_cast<double>(columns))));
    };
    const auto add_norm = [&](const std::string& name, int64_t size) {
      all.push_back(tensor(name, {size}, 1, 0.2));
    };
    const double scale = 3 / std::sqrt(static_cast<double>(shape.hidden));
    all.push_back(tensor("model.embed_tokens.weight", {shape.vocab, shape.hidden}, 0, scale));
    for (int64_t layer = 0; layer < shape.layers; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + '.';
      add_norm(prefix + "input_layernorm.weight", shape.hidden);
      add(prefix + "self_attn.q_proj.weight", shape.heads * shape.head_dim, shape.hidden);
      add(prefix + "self_attn.k_proj.weight", shape.kv_heads * shape.head_dim, shape.hidden);
      add(prefix + "self_attn.v_proj.weight", shape.kv_heads * shape.head_dim, shape.hidden);
      add(prefix + "self_attn.o_proj.weight", shape.hidden, shape.heads * shape.head_dim);
      add_norm(prefix + "self_attn.q_norm.weight", shape.head_dim);
      add_norm(prefix + "self_attn.k_norm.weight", shape.head_dim);
      add_norm(prefix + "post_attention_layernorm.weight", shape.hidden);
      add(prefix + "mlp.gate_proj.weight", shape.intermediate, shape.hidden);
      add(prefix + "mlp.up_proj.weight", shape.intermediate, shape.hidden);
      add(prefix + "mlp.down_proj.weight", shape.hidden, shape.intermediate);
    }
    add_norm("model.norm.weight", shape.hidden);
    if (!shape.tied) {
      all.push_back(tensor("lm_head.weight", {shape.vocab, shape.hidden}, 0, scale));
    }
    return all;
  }

  static OrderedJson tokenizer_json() {
    OrderedJson vocab;
    for (int c = '!'; c <= '~'; ++c) vocab[std::string(1, static_cast<char>(c))] = c - '!';
    vocab["\u0120"] = 94;  // the space's stand-in
    vocab["\u010a"] = 95;  // the line feed's
    OrderedJson file = OrderedJson::parse(R"({
      "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
      "added_tokens": [{"id": 96, "content": "<stop>", "single_word": false, "lstrip": false, "rstrip": false,
                        "normalized": false, "special": true}],
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
      "post_processor": null,
      "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
      "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "merges": []}})");
    file["model"]["vocab"] = vocab;
    return file;
  }

  TempDir dir_;
  std::mt19937 random_;
  std::string dtype_;
};

/// `count` ids below `vocab`, the same for equal seeds.
inline std::vector<int32_t> random_ids(size_t count, uint32_t seed, int32_t vocab = 96) {
  std::mt19937 random(seed);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint32_t>(vocab));
  return ids;
}

inline std::vector<int32_t> joined(std::vector<int32_t> first, const std::vector<int32_t>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

inline Variant variant_of(const std::string& edits, int32_t num_layers) {
  return {
      edits.empty() ? "baseline" : edits,
      parse_edits(edits, num_layers, MagnitudeScope::kTensor, "test")};
}

/// Equal bit by bit, also where comparing floats would forgive.
inline bool same_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

}  // namespace prune_sweep
