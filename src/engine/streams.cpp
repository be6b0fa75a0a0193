#include "engine/streams.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
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
    // Edited weights are made for one edit after the other, unless they go side by side; few at a
    // time, so that they are the same ones for most numbers of rows.
    constexpr int64_t kMostEdits = 3;
    std::vector<int64_t> side_by_side;
    for (const auto& group : group_by_edit(branches, [](const Branch& b) { return b.edit; })) {
      const bool is_one_of_many = decoder_.backend().is_queued() && group.size() == 1 &&
                                  effect_at(layer, group.front()).changes_weights;
      if (is_one_of_many) {
        side_by_side.push_back(group.front());
      } else {
        run_group(layer, group, num_together(), after);
      }
    }
    run_group(layer, side_by_side, std::min(num_together(), kMostEdits), after);
    hidden_ = std::move(after);
  }

  const std::optional<Edit>& edit_at(size_t layer, int64_t branch) const {
    return tree_.levels[layer][static_cast<size_t>(branch)].edit;
  }
  EditEffect effect_at(size_t layer, int64_t branch) const {
    return effect_of(edit_at(layer, branch));
  }

  /// Fills `after` for branches with the same edit, or each with an edit of its own that changes
  /// weights.
  void run_group(
      size_t layer,
      std::span<const int64_t> group,
      int64_t most_together,
      std::vector<at::Tensor>& after) {
    const auto together = static_cast<size_t>(most_together);
    for (size_t first = 0; first < group.size(); first += together) {
      const size_t count = std::min(together, group.size() - first);
      run_branches(layer, group.subspan(first, count), after);
    }
  }

  LayerWeights weights_of(size_t layer, std::span<const int64_t> branches) const {
    if (!effect_at(layer, branches.front()).changes_weights) {
      return decoder_.weights().layer(static_cast<int32_t>(layer));
    }
    std::vector<Edit> edits;
    for (const int64_t branch : branches) {
      const Edit& edit = edit_at(layer, branch).value();
      if (edits.empty() || edits.back() != edit) edits.push_back(edit);
    }
    return edited_layer_(edits);
  }

  /// How many branches go through a layer as one matrix. A device has more to do at once, and less
  /// to be told; for tiles it would only cost copies.
  int64_t num_together() const {
    constexpr int64_t kEnoughRows = 16384;
    if (!decoder_.backend().is_queued()) return 1;
    return std::max<int64_t>(1, kEnoughRows / packed_.num_rows());
  }

  /// What rows of branches are to know of themselves, one branch behind the other.
  struct Joined {
    Rope rope;  // [branches * rows]
    WantedRows wanted;
  };
  const Joined& joined(size_t num_branches) {
    const auto known = joined_.find(num_branches);
    if (known != joined_.end()) return known->second;
    const auto repeated = [&](const Rope& rope) {
      return Rope{
          at::cat(std::vector(num_branches, rope.cos)),
          at::cat(std::vector(num_branches, rope.sin))};
    };
    Joined all{repeated(rope_), {{}, repeated(wanted_.rope)}};
    for (int64_t branch = 0; branch < static_cast<int64_t>(num_branches); ++branch) {
      for (const int64_t row : wanted_.rows) {
        all.wanted.rows.push_back(branch * packed_.num_rows() + row);
      }
    }
    return joined_.emplace(num_branches, std::move(all)).first->second;
  }

  void run_branches(
      size_t layer, std::span<const int64_t> branches, std::vector<at::Tensor>& after) {
    const LayerWeights weights = weights_of(layer, branches);
    const EditEffect effect = effect_at(layer, branches.front());
    const bool is_last = layer + 1 == tree_.levels.size();
    const Queries queries = is_last ? Queries::kWantedRows : Queries::kAllRows;
    const Joined& rows = joined(branches.size());
    const auto attend = [&](const Qkv& qkv) {
      return kv_.attend_prompts(layer, branches, qkv, queries);
    };
    at::Tensor states = take_states(layer, branches, /*are_only_read=*/is_last);
    if (is_last) {
      states = decoder_.run_last_layer(weights, effect, states, rows.rope, rows.wanted, attend);
    } else {
      decoder_.run_layer(weights, effect, states, rows.rope, attend);
    }
    const int64_t count = states.size(0) / std::ssize(branches);
    for (int64_t i = 0; i < std::ssize(branches); ++i) {
      after[static_cast<size_t>(branches[static_cast<size_t>(i)])] =
          states.narrow(0, i * count, count);
    }
  }

  /// The states that branches start from, one behind the other: theirs to change, unless they are
  /// only read.
  at::Tensor take_states(size_t layer, std::span<const int64_t> branches, bool are_only_read) {
    std::vector<at::Tensor> states;
    bool are_theirs = true;
    for (const int64_t branch : branches) {
      const auto from = static_cast<size_t>(tree_.levels[layer][static_cast<size_t>(branch)].from);
      const bool is_last_use = --uses_left_[from] == 0;
      states.push_back(is_last_use ? std::exchange(hidden_[from], {}) : hidden_[from]);
      are_theirs = are_theirs && is_last_use;
    }
    // They lie so when they went through the layer before together.
    const at::Tensor as_they_lie = adjoining(states);
    if (!as_they_lie.defined()) return at::cat(states);
    return are_theirs || are_only_read ? as_they_lie : as_they_lie.clone();
  }

  Decoder& decoder_;
  const EditedLayer& edited_layer_;
  const StreamTree& tree_;
  const PackedRows& packed_;
  Rope rope_;  // [rows]
  WantedRows wanted_;
  UnitKv& kv_;
  std::vector<at::Tensor> hidden_;   // [streams before the layer]
  std::vector<int32_t> uses_left_;   // [streams before the layer]
  std::map<size_t, Joined> joined_;  // by number of branches
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
