#include "engine/streams.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

namespace prune_sweep {

namespace {

/// Streams go through a layer together up to this many rows; one stream may have more.
constexpr int64_t kRowsTogether = 4096;

/// All streams' way through one layer.
class Level {
 public:
  Level(
      Decoder& decoder,
      const EditedLayer& edited_layer,
      const PackedRows& packed,
      const Rope& rope,
      int32_t layer,
      const std::vector<Branch>& branches,
      std::vector<at::Tensor> before,
      KeepKv keep_kv)
      : decoder_(decoder),
        edited_layer_(edited_layer),
        packed_(packed),
        rope_(rope),
        layer_(layer),
        branches_(branches),
        before_(std::move(before)),
        uses_left_(before_.size(), 0),
        after_(branches.size()),
        kv_(keep_kv == KeepKv::kYes ? branches.size() : 0) {
    for (const Branch& branch : branches) ++uses_left_[static_cast<size_t>(branch.from)];
  }

  void run() {
    const auto together =
        static_cast<size_t>(std::max<int64_t>(1, kRowsTogether / packed_.num_rows()));
    for (const auto& group : group_by_edit(branches_, [](const Branch& b) { return b.edit; })) {
      const std::optional<Edit>& edit = branches_[static_cast<size_t>(group.front())].edit;
      const EditEffect effect = effect_of(edit ? &*edit : nullptr);
      const LayerWeights weights =
          effect.changes_weights ? edited_layer_(*edit) : decoder_.weights().layer(layer_);
      for (size_t first = 0; first < group.size(); first += together) {
        const size_t count = std::min(together, group.size() - first);
        run_part(weights, effect, std::span(group).subspan(first, count));
      }
    }
  }

  std::vector<at::Tensor> take_hidden() { return std::move(after_); }
  std::vector<StreamKv> take_kv() { return std::move(kv_); }

 private:
  /// The state a branch starts from, given up with its last use.
  at::Tensor state_before(int64_t branch) {
    const auto from = static_cast<size_t>(branches_[static_cast<size_t>(branch)].from);
    at::Tensor state = before_[from];
    if (--uses_left_[from] == 0) before_[from].reset();
    return state;
  }

  void run_part(
      const LayerWeights& weights, const EditEffect& effect, std::span<const int64_t> branches) {
    std::vector<at::Tensor> states;
    for (const int64_t branch : branches) states.push_back(state_before(branch));
    if (!effect.keeps_attention && !effect.keeps_mlp) {
      for (size_t i = 0; i < states.size(); ++i)
        after_[static_cast<size_t>(branches[i])] = states[i];
      return;
    }
    const int64_t rows = packed_.num_rows();
    const auto count = static_cast<int64_t>(branches.size());
    const bool alone = count == 1;
    const Rope rope =
        alone ? rope_ : Rope{rope_.cos.repeat({count, 1}), rope_.sin.repeat({count, 1})};
    const at::Tensor hidden = decoder_.layer(
        weights, effect, alone ? states.front() : at::cat(states), rope, [&](const Qkv& qkv) {
          for (int64_t i = 0; i < count && !kv_.empty(); ++i) {
            kv_[static_cast<size_t>(branches[static_cast<size_t>(i)])] = {
                qkv.k.narrow(0, i * rows, rows), qkv.v.narrow(0, i * rows, rows)};
          }
          return attend_packed(qkv, packed_);
        });
    for (int64_t i = 0; i < count; ++i) {
      after_[static_cast<size_t>(branches[static_cast<size_t>(i)])] =
          hidden.narrow(0, i * rows, rows);
    }
  }

  Decoder& decoder_;
  const EditedLayer& edited_layer_;
  const PackedRows& packed_;
  const Rope& rope_;
  int32_t layer_;
  const std::vector<Branch>& branches_;
  std::vector<at::Tensor> before_;  // [streams before the layer]
  std::vector<int32_t> uses_left_;  // [streams before the layer]
  std::vector<at::Tensor> after_;   // [branches]
  std::vector<StreamKv> kv_;        // [branches], or empty
};

}  // namespace

StreamStates run_streams(
    Decoder& decoder,
    const EditedLayer& edited_layer,
    const StreamTree& tree,
    const PackedRows& packed,
    KeepKv keep_kv) {
  StreamStates states;
  states.hidden = {decoder.embed(packed.ids)};
  const Rope rope = decoder.rope(packed.positions);
  for (size_t layer = 0; layer < tree.levels.size(); ++layer) {
    Level level(
        decoder,
        edited_layer,
        packed,
        rope,
        static_cast<int32_t>(layer),
        tree.levels[layer],
        std::move(states.hidden),
        keep_kv);
    level.run();
    states.hidden = level.take_hidden();
    if (keep_kv == KeepKv::kYes) states.kv.push_back(level.take_kv());
  }
  return states;
}

}  // namespace prune_sweep
