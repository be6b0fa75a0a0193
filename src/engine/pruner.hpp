/// \file
/// Edits that change weights. A pruner makes the edited weights of a layer; the table says which
/// edit kind has which pruner. A new method is a file in pruners/, a row of the table and a row in
/// core's table of edit kinds.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/pruners/magnitude_counts.hpp"
#include "engine/weights.hpp"
#include "prune_sweep/core/variant.hpp"

namespace prune_sweep {

/// One edit as it stands in a variant, ready to be applied to its layers.
class Pruner {
 public:
  virtual ~Pruner() = default;

  /// The layer's weights after the edit; tensors that it leaves alone are shared, not copied. The
  /// decision what to remove rests on the weights as stored in the checkpoint, whatever type is
  /// computed in.
  virtual LayerWeights prune(int32_t layer) const = 0;

  /// The same as what is zeroed of the model's own weights; null where it is something else that is
  /// done to them.
  virtual std::shared_ptr<const LayerZeros> zeros(int32_t layer) const = 0;
};

/// Row of the table of pruners.
struct PrunerInfo {
  EditKind kind;
  /// `layers`: see decided_together().
  std::unique_ptr<Pruner> (*make)(
      const Weights& weights,
      MagnitudeCounts& counts,
      const Edit& edit,
      std::span<const int32_t> layers);
};
std::span<const PrunerInfo> pruner_table();

/// pruners/magnitude.cpp: zeroes the smallest weights.
std::unique_ptr<Pruner> make_magnitude_pruner(
    const Weights& weights,
    MagnitudeCounts& counts,
    const Edit& edit,
    std::span<const int32_t> layers);

/// The layers whose weights decide together what `edit` removes: with global scope all layers of
/// `variant` that have the same edit, ascending, otherwise its own layer.
std::vector<int32_t> decided_together(const Variant& variant, const Edit& edit);

/// An edit that changes a layer's weights, and the layers that decide together.
struct DecidedEdit {
  Edit edit;
  std::vector<int32_t> layers;
  auto operator<=>(const DecidedEdit&) const = default;
};

/// What an edited layer is: weights of its own, or the model's, with zeros where it can be said so.
enum class EditedAs : uint8_t { kCopies, kZeros };

/// Edited layers, made when first asked for and kept while there is room.
class EditedLayers {
 public:
  /// Room for edited copies of all layers of a model of 0.6 B parameters in bfloat16.
  static constexpr int64_t kRoomBytes = int64_t{1} << 30;

  /// `weights` must outlive it. `capacity` is a number of layers; nothing: as many as there is room
  /// for, at least as many as the model has.
  explicit EditedLayers(
      const Weights& weights,
      std::optional<int64_t> capacity = {},
      EditedAs as = EditedAs::kCopies);

  int64_t capacity() const { return capacity_; }
  /// What so many kept layers take; zeros, hardly anything, count as nothing.
  int64_t num_bytes(int64_t num_layers) const;
  /// Gives that memory back.
  void drop_copies();

  /// Weights of a layer under an edit; under several, side by side. These are kept beside the
  /// single ones.
  LayerWeights get(const std::vector<DecidedEdit>& edits);
  /// The same without keeping it, or any other.
  LayerWeights get_once(const std::vector<DecidedEdit>& edits);

 private:
  struct Entry {
    LayerWeights weights;
    uint64_t last_use = 0;
  };

  LayerWeights make(const DecidedEdit& edit);
  void make_room(int64_t num_layers);

  const Weights& weights_;
  MagnitudeCounts counts_;
  int64_t capacity_;
  EditedAs as_;
  std::map<DecidedEdit, std::unique_ptr<Pruner>> pruners_;  // of an edit with layer 0
  std::map<std::vector<DecidedEdit>, Entry> entries_;
  int64_t num_kept_ = 0;  ///< layers in entries_
  uint64_t num_uses_ = 0;
};

}  // namespace prune_sweep
