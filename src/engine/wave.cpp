#include "engine/wave.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/to_device.hpp"

namespace prune_sweep {

namespace {

/// [streams][layers]: through which branch of each layer a stream came.
std::vector<std::vector<size_t>> trace_paths(const StreamTree& tree) {
  const size_t num_layers = tree.levels.size();
  std::vector<std::vector<size_t>> paths(
      tree.levels.back().size(), std::vector<size_t>(num_layers));
  for (size_t stream = 0; stream < paths.size(); ++stream) {
    size_t branch = stream;
    for (size_t layer = num_layers; layer-- > 0;) {
      paths[stream][layer] = branch;
      branch = static_cast<size_t>(tree.levels[layer][branch].from);
    }
  }
  return paths;
}

/// One share behind the other, all as long as the longest: what is missing is the share's first row
/// once more, which then is computed several times, with the same result.
std::vector<int64_t> filled_up(const std::vector<std::vector<int64_t>>& shares) {
  size_t longest = 0;
  for (const std::vector<int64_t>& share : shares) longest = std::max(longest, share.size());
  std::vector<int64_t> all;
  for (const std::vector<int64_t>& share : shares) {
    all.insert(all.end(), share.begin(), share.end());
    all.insert(all.end(), longest - share.size(), share.front());
  }
  return all;
}

}  // namespace

Wave::Wave(
    const WaveContext& context,
    std::vector<AnswerRow> rows,
    const at::Tensor& ids,
    int64_t num_positions)
    : context_(context), rows_(std::move(rows)), ids_(ids.clone()) {
  context_.decoder.reserve_positions(num_positions);
  at::Tensor positions = at::empty({std::ssize(rows_)}, at::kInt);
  int32_t* next = positions.data_ptr<int32_t>();
  for (const AnswerRow& row : rows_) *next++ = static_cast<int32_t>(row.position);
  positions_ = to_device(positions, ids_.device());
  make_groups();
}

void Wave::make_groups() {
  const StreamTree& tree = context_.tree;
  const std::vector<std::vector<size_t>> paths = trace_paths(tree);
  for (size_t layer = 0; layer < tree.levels.size(); ++layer) {
    std::vector<GeneratedRow> rows;
    for (const AnswerRow& row : rows_) {
      rows.push_back(
          {.branch = paths[row.stream][layer],
           .run = static_cast<int64_t>(row.request),
           .prompt_len = row.prompt_len,
           .slot = row.slot});
    }
    make_groups_of(layer, rows);
  }
}

void Wave::make_groups_of(size_t layer, const std::vector<GeneratedRow>& rows) {
  const auto edit_of = [&](const GeneratedRow& row) {
    return context_.tree.levels[layer][row.branch].edit;
  };
  const auto have_zeros = [&](const Edit& edit) {
    return context_.decoder.backend().reads_zeros() && !context_.edited_layer({edit}).zeros.empty();
  };
  Group copies{.layer = layer};
  std::vector<std::vector<int64_t>> copies_rows;
  Group zeros{.layer = layer};
  std::vector<int64_t> zeros_rows;
  for (const std::vector<int64_t>& indices : group_by_edit(rows, edit_of)) {
    const std::optional<Edit> edit = edit_of(rows[static_cast<size_t>(indices.front())]);
    const EditEffect effect = effect_of(edit);
    if (!effect.keeps_attention && !effect.keeps_mlp) continue;
    if (!effect.changes_weights) {
      add_group({.layer = layer, .effect = effect}, rows, indices);
    } else if (have_zeros(*edit)) {
      zeros.effect = effect;
      zeros.edits.push_back(*edit);
      zeros.share_rows.push_back(std::ssize(indices));
      zeros_rows.insert(zeros_rows.end(), indices.begin(), indices.end());
    } else if (context_.copies_side_by_side == Use::kOn) {
      copies.effect = effect;
      copies.edits.push_back(*edit);
      copies_rows.push_back(indices);
    } else {
      add_group({.layer = layer, .effect = effect, .edits = {*edit}}, rows, indices);
    }
  }
  if (!zeros_rows.empty()) add_group(std::move(zeros), rows, zeros_rows);
  if (!copies_rows.empty()) add_group(std::move(copies), rows, filled_up(copies_rows));
}

void Wave::add_group(
    Group group, const std::vector<GeneratedRow>& rows, const std::vector<int64_t>& indices) {
  std::vector<int64_t> all(rows.size());
  std::iota(all.begin(), all.end(), 0);
  if (indices != all) group.index = indices_on(ids_.device(), indices);
  if (group.effect.keeps_attention) {
    std::vector<GeneratedRow> in_group;
    for (const int64_t index : indices) in_group.push_back(rows[static_cast<size_t>(index)]);
    group.told = context_.kv->tell_rows(group.layer, in_group);
  }
  groups_.push_back(std::move(group));
}

std::vector<AnswerRow> Wave::rows_now(const std::vector<int64_t>& indices) const {
  std::vector<AnswerRow> rows;
  for (const int64_t index : indices) {
    rows.push_back(rows_[static_cast<size_t>(index)]);
    rows.back().position += num_steps_;
  }
  return rows;
}

void Wave::step() {
  // The first step is computed as it is queued, so that a graph has nothing left to load or to
  // make.
  if (num_steps_++ == 1 && context_.graphs == Use::kOn) {
    is_recording_ = true;
    graph_ = context_.decoder.backend().record([this] { compute(); });
    is_recording_ = false;
    if (!graph_) used_.clear();
  }
  if (graph_) {
    graph_->run();
  } else {
    compute();
  }
}

void Wave::compute() {
  at::Tensor hidden;
  {
    const InPhase in_decode(context_.clock, Phase::kDecode);
    hidden = context_.decoder.embed(ids_);
    const Rope rope = context_.decoder.rope(positions_);
    for (const Group& group : groups_) run_group(group, rope, hidden);
  }
  const InPhase in_head(context_.clock, Phase::kHead);
  ids_.copy_(context_.decoder.backend().head().greedy(hidden));
  positions_.add_(1);
}

LayerWeights Wave::weights_of(const Group& group) const {
  if (group.edits.empty()) {
    return context_.decoder.weights().layer(static_cast<int32_t>(group.layer));
  }
  LayerWeights weights = context_.edited_layer(group.edits);
  for (size_t i = 0; i < group.share_rows.size(); ++i) {
    weights.zeros[i].num_rows = group.share_rows[i];
  }
  return weights;
}

void Wave::run_group(const Group& group, const Rope& rope, at::Tensor& hidden) {
  Decoder& decoder = context_.decoder;
  const LayerWeights weights = weights_of(group);
  if (is_recording_) used_.push_back(weights);
  const bool is_all = !group.index.defined();
  const at::Tensor positions = is_all ? positions_ : positions_.index_select(0, group.index);
  const auto attend = [&](const Qkv& qkv) {
    return context_.kv->attend_generated(*group.told, positions, qkv);
  };
  if (is_all) {
    decoder.run_layer(weights, group.effect, hidden, rope, attend);
    return;
  }
  const Rope angles{rope.cos.index_select(0, group.index), rope.sin.index_select(0, group.index)};
  at::Tensor states = hidden.index_select(0, group.index);
  decoder.run_layer(weights, group.effect, states, angles, attend);
  hidden.index_copy_(0, group.index, states);
}

}  // namespace prune_sweep
