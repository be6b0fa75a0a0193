#include "prune_sweep/core/stream_tree.hpp"

#include <algorithm>

namespace prune_sweep {

namespace {

void add_pass(LayerPasses& passes, const std::optional<Edit>& edit) {
  const EditEffect effect = edit ? info(edit->kind).effect : EditEffect{true, true, false};
  passes.attention += effect.keeps_attention ? 1 : 0;
  passes.mlp += effect.keeps_mlp ? 1 : 0;
}

/// Index of `branch` in `level`, appended when it is new.
int32_t find_or_add(std::vector<Branch>& level, const Branch& branch) {
  const auto found = std::find(level.begin(), level.end(), branch);
  if (found != level.end()) return static_cast<int32_t>(found - level.begin());
  level.push_back(branch);
  return static_cast<int32_t>(level.size() - 1);
}

}  // namespace

StreamTree build_stream_tree(std::span<const Variant> variants, int32_t num_layers) {
  StreamTree tree;
  tree.stream_of_variant.assign(variants.size(), 0);
  tree.levels.resize(static_cast<size_t>(num_layers));
  for (int32_t layer = 0; layer < num_layers; ++layer) {
    std::vector<Branch>& level = tree.levels[static_cast<size_t>(layer)];
    for (size_t i = 0; i < variants.size(); ++i) {
      Branch branch{.from = tree.stream_of_variant[i], .edit = {}};
      if (const Edit* edit = variants[i].edit_of(layer)) branch.edit = *edit;
      tree.stream_of_variant[i] = find_or_add(level, branch);
    }
  }
  return tree;
}

LayerPasses count_passes(const StreamTree& tree) {
  LayerPasses passes;
  for (const auto& level : tree.levels) {
    for (const Branch& branch : level) add_pass(passes, branch.edit);
  }
  return passes;
}

LayerPasses count_passes_alone(const Variant& variant, int32_t num_layers) {
  LayerPasses passes;
  for (int32_t layer = 0; layer < num_layers; ++layer) {
    const Edit* edit = variant.edit_of(layer);
    add_pass(passes, edit ? std::optional(*edit) : std::nullopt);
  }
  return passes;
}

}  // namespace prune_sweep
