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
      const KvLayout& layout,
      std::vector<int64_t> wanted_rows,
      KeepKv keep_kv)
      : decoder_(decoder),
        edited_layer_(edited_layer),
        tree_(tree),
        layout_(layout),
        rope_(decoder.rope(layout.packed().positions)),
        queries_(all_queries(layout.packed())),
        wanted_queries_(queries_of(layout.packed(), wanted_rows)),
        wanted_{std::move(wanted_rows), {}},
        keep_kv_(keep_kv) {
    std::vector<int32_t> positions;
    for (const int64_t row : wanted_.rows) {
      positions.push_back(layout.packed().positions[static_cast<size_t>(row)]);
    }
    wanted_.rope = decoder.rope(positions);
  }

  StreamStates run() {
    hidden_ = {decoder_.embed(layout_.packed().ids)};
    for (size_t layer = 0; layer < tree_.levels.size(); ++layer) run_level(layer);
    StreamStates states;
    states.hidden = std::move(hidden_);
    states.kv = std::move(kept_);
    return states;
  }

 private:
  void run_level(size_t layer) {
    const std::vector<Branch>& branches = tree_.levels[layer];
    uses_left_.assign(hidden_.size(), 0);
    for (const Branch& branch : branches) ++uses_left_[static_cast<size_t>(branch.from)];
    std::vector<at::Tensor> after(branches.size());
    if (keep_kv_ == KeepKv::kYes) kept_.emplace_back(branches.size());
    // Edited weights are made for one edit after the other.
    for (const auto& group : group_by_edit(branches, [](const Branch& b) { return b.edit; })) {
      const std::optional<Edit>& edit = branches[static_cast<size_t>(group.front())].edit;
      const EditEffect effect = effect_of(edit ? &*edit : nullptr);
      const LayerWeights weights = effect.changes_weights
                                       ? edited_layer_(*edit)
                                       : decoder_.weights().layer(static_cast<int32_t>(layer));
      for (const int64_t index : group) {
        const auto branch = static_cast<size_t>(index);
        StreamKv& kv = keep_kv_ == KeepKv::kYes ? kept_.back()[branch] : scratch_kv_;
        after[branch] = run_branch(layer, branches[branch], weights, effect, kv);
      }
    }
    hidden_ = std::move(after);
  }

  at::Tensor run_branch(
      size_t layer,
      const Branch& branch,
      const LayerWeights& weights,
      const EditEffect& effect,
      StreamKv& kv) {
    const bool is_last = layer + 1 == tree_.levels.size();
    at::Tensor state = take_state(static_cast<size_t>(branch.from), is_last);
    const auto attend = [&](const Qkv& qkv) {
      kv.fill(qkv.k, qkv.v, layout_);
      if (!kv.is_in_blocks()) return attend_plainly(qkv, is_last);
      return attend_packed(qkv.q, is_last ? wanted_queries_ : queries_, kv, layout_);
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

  at::Tensor attend_plainly(const Qkv& qkv, bool is_last) const {
    if (!is_last) return plain::attend_packed(qkv, layout_.packed());
    // Queries of all rows, most of which are not there, would be needed: zeros stand for them.
    const at::Tensor index = at::tensor(wanted_.rows, at::kLong).to(qkv.q.device());
    Qkv all = qkv;
    all.q = at::zeros({qkv.k.size(0), qkv.q.size(1), qkv.q.size(2)}, qkv.q.options());
    all.q.index_copy_(0, index, qkv.q);
    return plain::attend_packed(all, layout_.packed()).index_select(0, index);
  }

  Decoder& decoder_;
  const EditedLayer& edited_layer_;
  const StreamTree& tree_;
  const KvLayout& layout_;
  Rope rope_;  // [rows]
  std::vector<QueryRun> queries_;
  std::vector<QueryRun> wanted_queries_;
  WantedRows wanted_;
  KeepKv keep_kv_;
  std::vector<at::Tensor> hidden_;  // [streams before the layer]
  std::vector<int32_t> uses_left_;  // [streams before the layer]
  StreamKv scratch_kv_;             // where none are kept
  std::vector<std::vector<StreamKv>> kept_;
};

}  // namespace

StreamStates run_streams(
    Decoder& decoder,
    const EditedLayer& edited_layer,
    const StreamTree& tree,
    const KvLayout& layout,
    std::vector<int64_t> wanted_rows,
    KeepKv keep_kv,
    PhaseClock& clock) {
  const double before_s = clock.seconds_in(Phase::kQuestions);
  StreamStates states;
  {
    const InPhase in_layers(clock, Phase::kQuestions);
    states = StreamRun(decoder, edited_layer, tree, layout, std::move(wanted_rows), keep_kv).run();
  }
  const PackedRows& packed = layout.packed();
  const double share =
      static_cast<double>(packed.prefix_len) / static_cast<double>(packed.num_rows());
  clock.move_share(Phase::kQuestions, before_s, share, Phase::kPrefix);
  return states;
}

}  // namespace prune_sweep
