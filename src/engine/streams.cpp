#include "engine/streams.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>
#include <utility>

#include "engine/to_device.hpp"

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
      const auto together = static_cast<size_t>(num_together(layer));
      for (size_t first = 0; first < group.size(); first += together) {
        const auto some = std::span(group).subspan(first, std::min(together, group.size() - first));
        if (some.size() == 1) {
          const auto branch = static_cast<size_t>(some.front());
          after[branch] = run_branch(layer, branch, weights, effect);
        } else {
          run_branches(layer, some, weights, effect, after);
        }
      }
    }
    hidden_ = std::move(after);
  }

  /// How many branches with the same weights go through a layer as one matrix. A device has more
  /// to do at once, and less to be told; for tiles it would only cost copies.
  int64_t num_together(size_t layer) const {
    constexpr int64_t kEnoughRows = 16384;
    const bool is_last = layer + 1 == tree_.levels.size();
    if (is_last || !decoder_.backend().is_queued()) return 1;
    return std::max<int64_t>(1, kEnoughRows / packed_.num_rows());
  }

  /// Fills `after` for these branches.
  void run_branches(
      size_t layer,
      std::span<const int64_t> branches,
      const LayerWeights& weights,
      const EditEffect& effect,
      std::vector<at::Tensor>& after) {
    std::vector<at::Tensor> states;
    std::vector<at::Tensor> cos(branches.size(), rope_.cos);
    std::vector<at::Tensor> sin(branches.size(), rope_.sin);
    for (const int64_t branch : branches) {
      const auto from = static_cast<size_t>(tree_.levels[layer][static_cast<size_t>(branch)].from);
      states.push_back(take_state(from, /*is_only_read=*/true));
    }
    at::Tensor all = at::cat(states);
    states.clear();
    const int64_t rows = packed_.num_rows();
    const auto attend = [&](const Qkv& qkv) {
      std::vector<at::Tensor> attended;
      for (size_t i = 0; i < branches.size(); ++i) {
        const auto part = [&](const at::Tensor& of_all) {
          return of_all.narrow(0, static_cast<int64_t>(i) * rows, rows);
        };
        attended.push_back(kv_.attend_prompts(
            layer,
            static_cast<size_t>(branches[i]),
            {part(qkv.q), part(qkv.k), part(qkv.v)},
            Queries::kAllRows));
      }
      return at::cat(attended);
    };
    decoder_.run_layer(weights, effect, all, {at::cat(cos), at::cat(sin)}, attend);
    for (size_t i = 0; i < branches.size(); ++i) {
      after[static_cast<size_t>(branches[i])] = all.narrow(0, static_cast<int64_t>(i) * rows, rows);
    }
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

  /// The state that a branch starts from: its own to change, unless it is only read.
  at::Tensor take_state(size_t from, bool is_only_read) {
    if (--uses_left_[from] == 0) return std::exchange(hidden_[from], {});
    return is_only_read ? hidden_[from] : hidden_[from].clone();
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
    wait_for(states.front().device());  // or the time would be that of what comes next
  }
  const double share =
      static_cast<double>(packed.prefix_len) / static_cast<double>(packed.num_rows());
  clock.move_share(Phase::kQuestions, before_s, share, Phase::kPrefix);
  return states;
}

}  // namespace prune_sweep
