#include "engine/streams.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

namespace prune_sweep {

namespace {

/// Takes streams through the layers, one layer after the other.
class StreamRun {
 public:
  StreamRun(
      Decoder& decoder,
      const EditedLayer& edited_layer,
      const StreamTree& tree,
      const PackedRows& packed,
      std::vector<int64_t> wanted_rows,
      UnitKv& kv)
      : decoder_(decoder),
        edited_layer_(edited_layer),
        tree_(tree),
        packed_(packed),
        rope_(decoder.rope(packed.positions)),
        wanted_{std::move(wanted_rows), {}},
        kv_(kv) {
    std::vector<int32_t> positions;
    for (const int64_t row : wanted_.rows) {
      positions.push_back(packed.positions[static_cast<size_t>(row)]);
    }
    wanted_.rope = decoder.rope(positions);
  }

  std::vector<at::Tensor> run() {
    hidden_ = {decoder_.embed(packed_.ids)};
    for (size_t layer = 0; layer < tree_.levels.size(); ++layer) run_level(layer);
    return std::move(hidden_);
  }

 private:
  void run_level(size_t layer) {
    const std::vector<Branch>& branches = tree_.levels[layer];
    uses_left_.assign(hidden_.size(), 0);
    for (const Branch& branch : branches) ++uses_left_[static_cast<size_t>(branch.from)];
    std::vector<at::Tensor> after(branches.size());
    // Edited weights are made for one edit after the other.
    for (const auto& group : group_by_edit(branches, [](const Branch& b) { return b.edit; })) {
      const std::optional<Edit>& edit = branches[static_cast<size_t>(group.front())].edit;
      const EditEffect effect = effect_of(edit ? &*edit : nullptr);
      const LayerWeights weights = effect.changes_weights
                                       ? edited_layer_(*edit)
                                       : decoder_.weights().layer(static_cast<int32_t>(layer));
      for (const int64_t index : group) {
        const auto branch = static_cast<size_t>(index);
        after[branch] = run_branch(layer, branch, weights, effect);
      }
    }
    hidden_ = std::move(after);
  }

  at::Tensor run_branch(
      size_t layer, size_t branch, const LayerWeights& weights, const EditEffect& effect) {
    const bool is_last = layer + 1 == tree_.levels.size();
    const Queries queries = is_last ? Queries::kWantedRows : Queries::kAllRows;
    at::Tensor state = take_state(static_cast<size_t>(tree_.levels[layer][branch].from), is_last);
    const auto attend = [&](const Qkv& qkv) {
      return kv_.attend_prompts(layer, branch, qkv, queries);
    };
    if (is_last) {
      return decoder_.run_last_layer(weights, effect, state, rope_, wanted_, attend);
    }
    decoder_.run_layer(weights, effect, state, rope_, attend);
    return state;
  }

  /// The state that a branch starts from: its own to change, unless it is the last one.
  at::Tensor take_state(size_t from, bool is_last) {
    if (--uses_left_[from] == 0) return std::exchange(hidden_[from], {});
    return is_last ? hidden_[from] : hidden_[from].clone();
  }

  Decoder& decoder_;
  const EditedLayer& edited_layer_;
  const StreamTree& tree_;
  const PackedRows& packed_;
  Rope rope_;  // [rows]
  WantedRows wanted_;
  UnitKv& kv_;
  std::vector<at::Tensor> hidden_;  // [streams before the layer]
  std::vector<int32_t> uses_left_;  // [streams before the layer]
};

}  // namespace

std::vector<at::Tensor> run_streams(
    Decoder& decoder,
    const EditedLayer& edited_layer,
    const StreamTree& tree,
    const PackedRows& packed,
    std::vector<int64_t> wanted_rows,
    UnitKv& kv,
    PhaseClock& clock) {
  const double before_s = clock.seconds_in(Phase::kQuestions);
  std::vector<at::Tensor> states;
  {
    const InPhase in_layers(clock, Phase::kQuestions);
    states = StreamRun(decoder, edited_layer, tree, packed, std::move(wanted_rows), kv).run();
  }
  const double share =
      static_cast<double>(packed.prefix_len) / static_cast<double>(packed.num_rows());
  clock.move_share(Phase::kQuestions, before_s, share, Phase::kPrefix);
  return states;
}

}  // namespace prune_sweep
