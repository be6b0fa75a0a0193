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

EditedLayers::EditedLayers(const Weights& weights, std::optional<int64_t> capacity)
    : weights_(weights),
      counts_(weights),
      capacity_(capacity.value_or(
          std::max<int64_t>(weights.num_layers(), kRoomBytes / weights.edited_bytes()))) {}

const Pruner& EditedLayers::pruner_of(const Edit& edit, std::span<const int32_t> layers) {
  Key key{edit, {layers.begin(), layers.end()}};
  key.first.layer = 0;
  std::unique_ptr<Pruner>& pruner = pruners_[key];
  if (!pruner) {
    for (const PrunerInfo& row : pruner_table()) {
      if (row.kind == edit.kind) pruner = row.make(weights_, counts_, edit, layers);
    }
  }
  if (!pruner) {
    throw Error(ExitStatus::kInternal, "no pruner for " + std::string(info(edit.kind).name));
  }
  return *pruner;
}

void EditedLayers::make_room() {
  if (std::ssize(entries_) < capacity_) return;
  const auto older = [](const auto& a, const auto& b) {
    return a.second.last_use < b.second.last_use;
  };
  entries_.erase(std::min_element(entries_.begin(), entries_.end(), older));
}

LayerWeights EditedLayers::get(const Edit& edit, std::span<const int32_t> layers) {
  const Key key{edit, {layers.begin(), layers.end()}};
  auto found = entries_.find(key);
  if (found == entries_.end()) {
    make_room();
    found = entries_.emplace(key, Entry{pruner_of(edit, layers).prune(edit.layer), 0}).first;
  }
  found->second.last_use = ++num_uses_;
  return found->second.weights;
}

LayerWeights EditedLayers::get_once(const Edit& edit, std::span<const int32_t> layers) {
  entries_.clear();
  return pruner_of(edit, layers).prune(edit.layer);
}

}  // namespace prune_sweep
