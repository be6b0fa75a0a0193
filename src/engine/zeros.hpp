/// \file
/// Weights that are zeroed by magnitude, told by where the cut is: some bytes for a weight, which
/// take effect while it is read. So an edited model needs no weights of its own, and several read
/// those of the model once.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/row_blocks.hpp"

namespace prune_sweep {

/// Where magnitudes are cut. They are the stored bits without the sign, which order elements as |w|
/// does.
struct ZeroCut {
  uint32_t magnitude = 0;  ///< what is smaller is zeroed
  int64_t first_kept = 0;  ///< of those that equal it: the place from which on they are not
};

/// What is zeroed of a weight [rows, width].
struct WeightZeros {
  const char* stored = nullptr;  ///< elements in the checkpoint, on which the cut was decided
  int64_t stored_bytes = 0;      ///< of an element: 2 or 4
  /// One, in which an element's place is the one in the whole weight; or one of every row, with
  /// places in the row.
  std::vector<ZeroCut> cuts;

  /// The least magnitude that stays, where it is the same for all elements of these rows.
  std::optional<uint32_t> least_kept(int64_t width, RowRange rows) const;

  /// Rows of the weight, zeroed. `weight` is all of it, in the type that is computed in; rows of
  /// `to` are `to_stride` elements apart.
  template <typename T>
  void copy(const T* weight, int64_t width, RowRange rows, T* to, int64_t to_stride) const;
};

/// Of a layer's linear weights, by kLinearWeights.
using LayerZeros = std::array<WeightZeros, 7>;

/// The same for a share of the rows that go through the layer.
struct ShareZeros {
  std::shared_ptr<const LayerZeros> of_layer;
  int64_t num_rows = 0;  ///< where there are several shares; a single one is of all rows
};

}  // namespace prune_sweep
