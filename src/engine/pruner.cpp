#include "engine/pruner.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

std::span<const PrunerInfo> pruner_table() {
  static constexpr std::array kTable{
      PrunerInfo{EditKind::kMagnitude, make_magnitude_pruner},
  };
  return kTable;
}

std::vector<int32_t> decided_together(const Variant& variant, const Edit& edit) {
  if (edit.scope != MagnitudeScope::kGlobal) return {edit.layer};
  std::vector<int32_t> layers;
  for (Edit other : variant.edits) {
    const int32_t layer = std::exchange(other.layer, edit.layer);
    if (other == edit) layers.push_back(layer);
  }
  return layers;
}

EditedLayers::EditedLayers(const Weights& weights, std::optional<int64_t> capacity, EditedAs as)
    : weights_(weights),
      counts_(weights),
      capacity_(capacity.value_or(
          std::max<int64_t>(weights.num_layers(), kRoomBytes / weights.edited_bytes()))),
      as_(as) {}

int64_t EditedLayers::num_bytes(int64_t num_layers) const {
  return as_ == EditedAs::kZeros ? 0 : num_layers * weights_.edited_bytes();
}

void EditedLayers::drop_copies() {
  if (as_ == EditedAs::kZeros) return;
  entries_.clear();
  num_kept_ = 0;
}

LayerWeights EditedLayers::make(const DecidedEdit& decided) {
  DecidedEdit key = decided;
  key.edit.layer = 0;
  std::unique_ptr<Pruner>& pruner = pruners_[key];
  if (!pruner) {
    for (const PrunerInfo& row : pruner_table()) {
      if (row.kind != key.edit.kind) continue;
      pruner = row.make(weights_, counts_, key.edit, key.layers);
    }
  }
  if (!pruner) {
    throw Error(ExitStatus::kInternal, "no pruner for " + std::string(info(key.edit.kind).name));
  }
  const int32_t layer = decided.edit.layer;
  std::shared_ptr<const LayerZeros> zeros =
      as_ == EditedAs::kZeros ? pruner->zeros(layer) : nullptr;
  if (!zeros) return pruner->prune(layer);
  LayerWeights weights = weights_.layer(layer);
  weights.zeros.push_back({std::move(zeros), 0});
  return weights;
}

void EditedLayers::make_room(int64_t num_layers) {
  const auto older = [](const auto& a, const auto& b) {
    return a.second.last_use < b.second.last_use;
  };
  while (!entries_.empty() && num_kept_ + num_layers > capacity_) {
    const auto oldest = std::min_element(entries_.begin(), entries_.end(), older);
    num_kept_ -= std::ssize(oldest->first);
    entries_.erase(oldest);
  }
}

LayerWeights EditedLayers::get(const std::vector<DecidedEdit>& edits) {
  auto found = entries_.find(edits);
  if (found == entries_.end()) {
    LayerWeights weights;
    if (edits.size() == 1) {
      weights = make(edits.front());
    } else {
      std::vector<LayerWeights> layers;
      for (const DecidedEdit& edit : edits) layers.push_back(get({edit}));
      weights = side_by_side(layers);
    }
    make_room(std::ssize(edits));
    num_kept_ += std::ssize(edits);
    found = entries_.emplace(edits, Entry{std::move(weights), 0}).first;
  }
  found->second.last_use = ++num_uses_;
  return found->second.weights;
}

LayerWeights EditedLayers::get_once(const std::vector<DecidedEdit>& edits) {
  drop_copies();
  std::vector<LayerWeights> layers;
  for (const DecidedEdit& edit : edits) layers.push_back(make(edit));
  return side_by_side(layers);
}

}  // namespace prune_sweep
