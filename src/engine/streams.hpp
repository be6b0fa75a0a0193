/// \file
/// A unit's rows through the layers along the stream tree: every stream once through every layer
/// that its variants keep.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/decoder.hpp"
#include "engine/packed_rows.hpp"
#include "engine/phase_clock.hpp"
#include "prune_sweep/core/stream_tree.hpp"

namespace prune_sweep {

/// Weights of a layer under an edit that changes weights; under several, side by side.
using EditedLayer = std::function<LayerWeights(const std::vector<Edit>& edits)>;

/// Hidden states after the last layer of the rows that are wanted, in that order: [streams after
/// it], [wanted rows, hidden] each. `kv` was made for the same rows.
std::vector<at::Tensor> run_streams(
    Decoder& decoder,
    const EditedLayer& edited_layer,
    const StreamTree& tree,
    const PackedRows& packed,
    std::vector<int64_t> wanted_rows,
    UnitKv& kv,
    PhaseClock& clock);

/// Indices of `items` whose edits are equal, in groups; in the order of first appearance.
template <typename Items, typename EditOf>
std::vector<std::vector<int64_t>> group_by_edit(const Items& items, EditOf edit_of) {
  std::vector<std::vector<int64_t>> groups;
  for (int64_t i = 0; i < std::ssize(items); ++i) {
    const auto same = [&](const std::vector<int64_t>& group) {
      return edit_of(items[static_cast<size_t>(group.front())]) ==
             edit_of(items[static_cast<size_t>(i)]);
    };
    const auto found = std::find_if(groups.begin(), groups.end(), same);
    if (found != groups.end()) {
      found->push_back(i);
    } else {
      groups.push_back({i});
    }
  }
  return groups;
}

}  // namespace prune_sweep
