/// \file
/// Which variants are computed together. A group computes the layers that its variants share once;
/// several groups spread over several workers, each with a share of the shared layers of its own.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "prune_sweep/core/stream_tree.hpp"
#include "prune_sweep/core/variant.hpp"

namespace prune_sweep {

/// Layer passes of one group after the other as variants are added to it, without building its tree
/// anew each time.
class GroupPasses {
 public:
  explicit GroupPasses(int32_t num_layers) : streams_(static_cast<size_t>(num_layers)) {}

  /// Sublayer passes that the group needs more with `variant` in it.
  int64_t added_by(const Variant& variant) const;
  void add(const Variant& variant);
  int64_t total() const { return total_; }

 private:
  /// Stream after a layer by the stream before it and the layer's edit.
  struct Known {
    int32_t from;
    const Edit* edit;  ///< of a variant that outlives this; nullptr: none
    int32_t to;
  };
  const Known* find(size_t layer, int32_t from, const Edit* edit) const;

  std::vector<std::vector<Known>> streams_;  // [layers]
  int64_t total_ = 0;
};

/// How variants with weights of their own are computed.
enum class EditedWeights : uint8_t { kByThemselves, kSideBySide };

/// Groups of variants, as ascending indices. Variants go by their first edited layer, the latest
/// first: a group computes the unedited layers up to its last fork, so that groups of early forks
/// stay short. Neighbours that share layers are cut into as few groups as `largest` allows, or into
/// `num_groups` when that is not 0, the largest of which is as small as can be. Variants that are
/// the same model are in one group; a repeat is a group by itself.
/// Variants with weights of their own share nothing, and are groups by themselves unless these go
/// side by side. `largest` is in sublayer passes.
std::vector<std::vector<int32_t>> group_variants(
    std::span<const Variant> variants,
    int32_t num_layers,
    EditedWeights edited,
    int64_t largest,
    int32_t num_groups);

}  // namespace prune_sweep
