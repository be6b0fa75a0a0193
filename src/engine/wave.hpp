/// \file
/// Answers in the making that are taken a token further together.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/decoder.hpp"
#include "engine/phase_clock.hpp"
#include "engine/streams.hpp"
#include "engine/unit_kv.hpp"
#include "prune_sweep/core/savings.hpp"
#include "prune_sweep/core/stream_tree.hpp"

namespace prune_sweep {

/// An answer in the making.
struct AnswerRow {
  size_t stream = 0;
  size_t request = 0;
  int64_t prompt_len = 0;
  int64_t slot = 0;      ///< where its keys and values are
  int64_t position = 0;  ///< of the token that goes in next
};

/// What all waves of a unit share. References and `kv` must outlive them.
struct WaveContext {
  Decoder& decoder;
  const EditedLayer& edited_layer;
  const StreamTree& tree;
  PhaseClock& clock;
  UnitKv* kv = nullptr;
  /// Whether a step may be recorded: then edited layers must stay as they are once made.
  Use graphs = Use::kOff;
  /// Whether rows of different edited copies go through a layer together. The same holds. Those of
  /// the model's weights with different zeros always do.
  Use copies_side_by_side = Use::kOff;
};

/// Its rows stay as they are; when some have finished, the others may go on in a wave of their own.
/// One wave exists at a time.
class Wave {
 public:
  /// `ids` [rows], int32, are the tokens that go in next. No position will reach `num_positions`.
  Wave(
      const WaveContext& context,
      std::vector<AnswerRow> rows,
      const at::Tensor& ids,
      int64_t num_positions);

  const std::vector<AnswerRow>& rows() const { return rows_; }
  /// The tokens that the last step gave, or the first ones; -1 where no logit was a number. A step
  /// writes there.
  const at::Tensor& ids() const { return ids_; }

  /// Takes all rows a token further. Precondition: there is room for a token in their slots.
  void step();

  /// The rows of which these are the indices, where they are now.
  std::vector<AnswerRow> rows_now(const std::vector<int64_t>& indices) const;

 private:
  /// Rows that go through a layer with the same weights, or shares of them with each of several
  /// edited ones.
  struct Group {
    size_t layer = 0;
    EditEffect effect = {};
    std::vector<Edit> edits = {};          ///< that change weights: none, one, or one for a share
    std::vector<int64_t> share_rows = {};  ///< of several shares with zeros; copies have equal ones
    at::Tensor index = {};                 // [rows], undefined when it is all of them in order
    std::unique_ptr<GeneratedRows> told = {};
  };

  void make_groups();
  /// `rows` are all of the wave, as they are told in this layer.
  void make_groups_of(size_t layer, const std::vector<GeneratedRow>& rows);
  void add_group(
      Group group, const std::vector<GeneratedRow>& rows, const std::vector<int64_t>& indices);
  LayerWeights weights_of(const Group& group) const;
  void compute();
  void run_group(const Group& group, const Rope& rope, at::Tensor& hidden);

  WaveContext context_;
  std::vector<AnswerRow> rows_;
  at::Tensor ids_;        // [rows], int32
  at::Tensor positions_;  // [rows], int32
  std::vector<Group> groups_;
  std::vector<LayerWeights> used_;  ///< what the graph reads
  bool is_recording_ = false;
  std::unique_ptr<StepGraph> graph_;
  int64_t num_steps_ = 0;
};

}  // namespace prune_sweep
