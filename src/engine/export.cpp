#include "prune_sweep/engine/export.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "engine/pruner.hpp"
#include "engine/weights.hpp"
#include "prune_sweep/core/atomic_file.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/model/safetensors_head.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kLayerPrefix = "model.layers.";
constexpr std::string_view kAttentionEnd = "self_attn.o_proj.weight";
constexpr std::string_view kMlpEnd = "mlp.down_proj.weight";

/// Files of a model directory that belong to a model whatever its weights are; nothing else is
/// taken along.
constexpr std::array kCompanions{
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "LICENSE",
};

std::string read_whole(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || file.bad()) bad_input(path.string() + ": cannot be read", std::strerror(errno));
  return text.str();
}

/// config.json for the layers that are left.
std::string config_text(const fs::path& path, const std::vector<int32_t>& kept) {
  // Not of the checked reader, which would sort the keys.
  auto config = nlohmann::ordered_json::parse(read_whole(path));
  config["num_hidden_layers"] = kept.size();
  const auto types = config.find("layer_types");
  if (types != config.end() && types->is_array()) {
    auto left = nlohmann::ordered_json::array();
    for (const int32_t layer : kept) left.push_back(types->at(static_cast<size_t>(layer)));
    *types = std::move(left);
  }
  const auto windows = config.find("max_window_layers");
  if (windows != config.end() && windows->is_number_integer()) {
    *windows = std::min<int64_t>(windows->get<int64_t>(), std::ssize(kept));
  }
  return config.dump(2) + "\n";
}

/// A tensor's layer and the rest of its name, or nothing for one of no layer.
std::optional<std::pair<int32_t, std::string>> split_name(const std::string& name) {
  if (!name.starts_with(kLayerPrefix)) return std::nullopt;
  const size_t point = name.find('.', kLayerPrefix.size());
  return std::pair(std::stoi(name.substr(kLayerPrefix.size())), name.substr(point + 1));
}

/// A folder that is there already may be empty.
void require_new(const fs::path& out) {
  std::error_code error;
  if (fs::exists(out, error) && !(fs::is_directory(out, error) && fs::is_empty(out, error))) {
    bad_input(out.string(), "is there already", "Name a new folder.");
  }
  const fs::path parent = fs::absolute(out).parent_path();
  if (!fs::is_directory(parent, error)) bad_input(parent.string(), "is not a folder");
}

/// The tensors of the exported model, one after the other.
class Exporter {
 public:
  Exporter(const fs::path& model_dir, const Variant& variant)
      : variant_(variant),
        config_(read_model_config(model_dir)),
        checkpoint_(Checkpoint::open(model_dir, config_)) {
    checkpoint_.require_finite();
    for (int32_t layer = 0; layer < config_.num_layers; ++layer) sort_in(layer);
    if (made_.kept_layers.empty()) {
      bad_input("variant " + variant.name, "drops every layer", "A checkpoint needs at least one.");
    }
    if (made_.pruned.empty()) return;
    weights_.emplace(Checkpoint::open(model_dir, config_), config_, working_type(), at::kCPU);
    edited_.emplace(*weights_, 1);
  }

  const ExportedModel& made() const { return made_; }

  void write(AtomicFile& file) {
    std::vector<TensorEntry> entries;
    std::vector<std::string> sources;  // names in the original
    ModelConfig left = config_;
    left.num_layers = static_cast<int32_t>(made_.kept_layers.size());
    for (const ExpectedTensor& tensor : expected_tensors(left)) {
      std::string source = tensor.name;
      if (const auto name = split_name(tensor.name)) {
        const int32_t layer = made_.kept_layers[static_cast<size_t>(name->first)];
        source = std::string(kLayerPrefix) + std::to_string(layer) + '.' + name->second;
      }
      entries.push_back({tensor.name, checkpoint_.tensor(source).type, tensor.shape});
      sources.push_back(std::move(source));
    }
    std::map<std::string, std::string> metadata{
        {"format", "pt"},
        {"prune_sweep.variant", variant_.name},
        {"prune_sweep.edits", edits_text(variant_.edits)}};
    file.write_pieces([&](const AtomicFile::Sink& sink) {
      sink(safetensors_head(entries, metadata));
      for (const std::string& source : sources) write_tensor(source, sink);
    });
  }

 private:
  void sort_in(int32_t layer) {
    const Edit* edit = variant_.edit_of(layer);
    const EditEffect effect =
        edit != nullptr ? info(edit->kind).effect : EditEffect{true, true, false};
    if (!effect.keeps_attention && !effect.keeps_mlp) return;
    made_.kept_layers.push_back(layer);
    if (!effect.keeps_attention) made_.zeroed_attention.push_back(layer);
    if (!effect.keeps_mlp) made_.zeroed_mlp.push_back(layer);
    if (effect.changes_weights) made_.pruned.push_back(layer);
  }

  /// One that holds every stored weight exactly.
  at::ScalarType working_type() const {
    for (const ExpectedTensor& tensor : expected_tensors(config_)) {
      if (checkpoint_.tensor(tensor.name).type != StoredType::kBfloat16) return at::kFloat;
    }
    return at::kBFloat16;
  }

  void write_tensor(const std::string& source, const AtomicFile::Sink& sink) {
    const TensorView& stored = checkpoint_.tensor(source);
    const auto name = split_name(source);
    if (name && is_zeroed(name->first, name->second)) {
      sink(std::string(stored.bytes.size(), '\0'));
    } else if (const at::Tensor edited =
                   name ? edited_tensor(name->first, name->second) : at::Tensor();
               edited.defined()) {
      const at::Tensor values = edited.to(scalar_type(stored.type)).contiguous();
      sink({static_cast<const char*>(values.data_ptr()), values.nbytes()});
    } else {
      sink(stored.bytes);
    }
  }

  bool is_zeroed(int32_t layer, std::string_view part) const {
    const auto contains = [layer](const std::vector<int32_t>& layers) {
      return std::find(layers.begin(), layers.end(), layer) != layers.end();
    };
    return (part == kAttentionEnd && contains(made_.zeroed_attention)) ||
           (part == kMlpEnd && contains(made_.zeroed_mlp));
  }

  /// Undefined where no edit changes it.
  at::Tensor edited_tensor(int32_t layer, std::string_view part) {
    const Edit* edit = variant_.edit_of(layer);
    if (edit == nullptr || !info(edit->kind).effect.changes_weights) return {};
    for (const LinearWeight& linear : kLinearWeights) {
      if (linear.name != part) continue;
      return edited_->get({{*edit, decided_together(variant_, *edit)}}).*linear.member;
    }
    return {};
  }

  const Variant& variant_;
  ModelConfig config_;
  Checkpoint checkpoint_;
  ExportedModel made_;
  std::optional<Weights> weights_;
  std::optional<EditedLayers> edited_;
};

}  // namespace

ExportedModel export_variant(
    const fs::path& model_dir, const Variant& variant, const fs::path& out) {
  const c10::InferenceMode inference;
  require_new(out);
  Exporter exporter(model_dir, variant);
  AtomicFolder folder(out);
  AtomicFile weights(folder.path() / "model.safetensors");
  exporter.write(weights);
  weights.publish();
  write_file_atomically(
      folder.path() / "config.json",
      config_text(model_dir / "config.json", exporter.made().kept_layers));
  for (const char* name : kCompanions) {
    std::error_code error;
    if (!fs::is_regular_file(model_dir / name, error)) continue;
    write_file_atomically(folder.path() / name, read_whole(model_dir / name));
  }
  folder.publish();
  return exporter.made();
}

}  // namespace prune_sweep
