/// \file
/// Variants as streams that fork. Variants whose edits agree up to a layer share one hidden state
/// up to there.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "prune_sweep/core/variant.hpp"

namespace prune_sweep {

/// One stream's way through one layer.
struct Branch {
  int32_t from = 0;          ///< index of the stream before the layer
  std::optional<Edit> edit;  ///< nothing: the layer as it is in the model

  bool operator==(const Branch&) const = default;
};

/// The steps in which a list of variants is computed. Before layer 0 there is one stream, 0.
struct StreamTree {
  /// [num_layers][streams after the layer]: stream i after layer l came by levels[l][i].
  std::vector<std::vector<Branch>> levels;
  /// [variants]: the variant's stream after the last layer. Equal variants have the same one.
  std::vector<int32_t> stream_of_variant;
};

StreamTree build_stream_tree(std::span<const Variant> variants, int32_t num_layers);

/// How much of a layer a branch computes.
struct LayerPasses {
  int64_t attention = 0;
  int64_t mlp = 0;

  /// Whole layers, counting an attention and an MLP as one half each.
  double layers() const { return 0.5 * static_cast<double>(attention + mlp); }
  bool operator==(const LayerPasses&) const = default;
};

/// Exact number of sublayer passes of the tree.
LayerPasses count_passes(const StreamTree& tree);
/// The same for one variant run alone.
LayerPasses count_passes_alone(const Variant& variant, int32_t num_layers);

}  // namespace prune_sweep
