#include "engine/decode.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "engine/plain/to_device.hpp"

namespace prune_sweep {

namespace {

/// Prompts, with what of the solutions is fed to the model: all tokens but the last.
PackedRows pack_prompts(std::span<const GenerationRequest> requests, Use prefix) {
  std::vector<std::vector<int32_t>> sequences;
  for (const GenerationRequest& request : requests) {
    std::vector<int32_t>& ids = sequences.emplace_back(request.prompt);
    if (request.solution.empty()) continue;
    ids.insert(ids.end(), request.solution.begin(), request.solution.end() - 1);
  }
  PackedRows packed = pack_rows(sequences, prefix);
  for (size_t i = 0; i < requests.size(); ++i) {
    packed.sequences[i].num_kept =
        std::max<int64_t>(0, std::ssize(requests[i].prompt) - packed.prefix_len);
  }
  return packed;
}

/// Tokens whose keys and values are stored: all that are generated but the last.
int64_t stored_tokens(std::span<const GenerationRequest> requests) {
  int32_t most = 1;
  for (const GenerationRequest& request : requests) most = std::max(most, request.max_new_tokens);
  return most;
}

/// Text of generated ids. A model may have more rows than its tokenizer has tokens; those have no
/// text.
std::string text_of(const std::vector<int32_t>& ids, const Tokenizer& tokenizer) {
  std::vector<int32_t> known;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(known), [&](int32_t id) {
    return id < tokenizer.vocab_size();
  });
  return tokenizer.decode(known, SpecialTokens::kSkip);
}

/// Where the first of the stop strings begins in `text`, or npos.
size_t find_stop(std::string_view text, const std::vector<std::string>& until) {
  size_t first = std::string_view::npos;
  for (const std::string& stop : until) {
    if (!stop.empty()) first = std::min(first, text.find(stop));
  }
  return first;
}

/// One answer in the making.
struct Row {
  size_t stream = 0;
  size_t request = 0;
  int64_t slot = 0;      ///< where its keys and values are
  int64_t position = 0;  ///< of the token that goes in next
  int32_t id = 0;        ///< that token
};

class Generator {
 public:
  Generator(
      Decoder& decoder,
      const EditedLayer& edited_layer,
      const StreamTree& tree,
      std::span<const GenerationRequest> requests,
      const Tokenizer& tokenizer,
      Use prefix,
      PhaseClock& clock)
      : decoder_(decoder),
        edited_layer_(edited_layer),
        tree_(tree),
        requests_(requests),
        tokenizer_(tokenizer),
        clock_(clock),
        packed_(pack_prompts(requests, prefix)),
        answers_(tree.levels.back().size(), std::vector<Generation>(requests.size())) {}

  std::vector<std::vector<Generation>> run() {
    trace_paths();
    std::vector<Row> rows = prefill();
    while (!rows.empty()) rows = take(step(rows), rows);
    return std::move(answers_);
  }

 private:
  /// Fills paths_: through which branch of each layer a stream came.
  void trace_paths() {
    const size_t num_layers = tree_.levels.size();
    paths_.assign(answers_.size(), std::vector<size_t>(num_layers));
    for (size_t stream = 0; stream < paths_.size(); ++stream) {
      size_t branch = stream;
      for (size_t layer = num_layers; layer-- > 0;) {
        paths_[stream][layer] = branch;
        branch = static_cast<size_t>(tree_.levels[layer][branch].from);
      }
    }
  }

  /// Runs the prompts and takes the first token of every answer.
  std::vector<Row> prefill() {
    // Of a stream: the last row of every prompt, then those that come before a solution's tokens.
    std::vector<int64_t> wanted;
    for (size_t i = 0; i < requests_.size(); ++i) {
      wanted.push_back(packed_.row_of(i, std::ssize(requests_[i].prompt) - 1));
    }
    for (size_t i = 0; i < requests_.size(); ++i) {
      const auto& [prompt, max_new_tokens, until, solution] = requests_[i];
      for (size_t token = 0; token < solution.size(); ++token) {
        wanted.push_back(packed_.row_of(i, static_cast<int64_t>(prompt.size() + token) - 1));
      }
    }
    const auto num_requests = static_cast<int64_t>(requests_.size());
    const int64_t num_solution_rows = std::ssize(wanted) - num_requests;
    kv_ = decoder_.backend().make_kv(packed_, wanted, tree_, KeepKv::kYes);
    const std::vector<at::Tensor> states =
        run_streams(decoder_, edited_layer_, tree_, packed_, std::move(wanted), *kv_, clock_);

    std::vector<at::Tensor> hidden;
    std::vector<Row> rows;
    for (size_t stream = 0; stream < answers_.size(); ++stream) {
      const at::Tensor& state = states[stream];
      if (num_solution_rows > 0) {
        score_solutions(stream, state.narrow(0, num_requests, num_solution_rows));
      }
      hidden.push_back(state.narrow(0, 0, num_requests));
      for (size_t i = 0; i < requests_.size(); ++i) {
        const auto slot = static_cast<int64_t>(stream * requests_.size() + i);
        rows.push_back({stream, i, slot, std::ssize(requests_[i].prompt) - 1, 0});
      }
    }
    kv_->reserve_generated(std::ssize(rows), stored_tokens(requests_));
    return take(at::cat(hidden), rows);
  }

  /// `hidden` are the rows before the solutions' tokens, in order.
  void score_solutions(size_t stream, const at::Tensor& hidden) {
    std::vector<LmHead::Target> targets;
    for (const GenerationRequest& request : requests_) {
      for (const int32_t id : request.solution) targets.push_back({std::ssize(targets), id});
    }
    const InPhase in_head(clock_, Phase::kHead);
    const std::vector<LmHead::Score> tokens = head().score(hidden, targets);
    size_t next = 0;
    for (size_t i = 0; i < requests_.size(); ++i) {
      const size_t count = requests_[i].solution.size();
      if (count == 0) continue;
      answers_[stream][i].solution_loglik = add_up(std::span(tokens).subspan(next, count)).loglik;
      next += count;
    }
  }

  /// The next token of every row; returns the rows that go on with theirs.
  std::vector<Row> take(const at::Tensor& hidden, const std::vector<Row>& rows) {
    const std::vector<int32_t> ids = greedy_ids(hidden);
    std::vector<Row> going_on;
    for (size_t i = 0; i < rows.size(); ++i) {
      Row row = rows[i];
      if (requests_[row.request].max_new_tokens <= 0) continue;
      if (ids[i] < 0) {
        Generation& answer = answers_[row.stream][row.request];
        answer.text = text_of(answer.ids, tokenizer_);
        answer.stop = StopReason::kNotFinite;
        continue;
      }
      row.id = ids[i];
      ++row.position;
      if (!is_finished_by(row)) going_on.push_back(row);
    }
    return going_on;
  }

  std::vector<int32_t> greedy_ids(const at::Tensor& hidden) {
    const InPhase in_head(clock_, Phase::kHead);
    return head().greedy(hidden);
  }

  /// Adds the row's token to its answer.
  bool is_finished_by(const Row& row) {
    const GenerationRequest& request = requests_[row.request];
    Generation& answer = answers_[row.stream][row.request];
    answer.ids.push_back(row.id);
    const std::vector<int32_t>& eos_ids = decoder_.config().eos_ids;
    const bool is_eos = std::find(eos_ids.begin(), eos_ids.end(), row.id) != eos_ids.end();
    const bool is_full = std::ssize(answer.ids) >= request.max_new_tokens;
    if (!is_eos && !is_full && request.until.empty()) return false;

    answer.text = text_of(answer.ids, tokenizer_);
    const size_t stop = find_stop(answer.text, request.until);
    if (stop != std::string::npos) answer.text.resize(stop);
    answer.stop = is_eos                      ? StopReason::kEos
                  : stop != std::string::npos ? StopReason::kUntil
                                              : StopReason::kLength;
    return is_eos || is_full || stop != std::string::npos;
  }

  /// All rows' tokens through all layers: [rows, hidden].
  at::Tensor step(const std::vector<Row>& rows) {
    const InPhase in_decode(clock_, Phase::kDecode);
    std::vector<int32_t> ids;
    std::vector<int32_t> positions;
    for (const Row& row : rows) {
      ids.push_back(row.id);
      positions.push_back(static_cast<int32_t>(row.position));
    }
    at::Tensor hidden = decoder_.embed(ids);
    const Rope rope = decoder_.rope(positions);
    for (size_t layer = 0; layer < tree_.levels.size(); ++layer) {
      const auto edit_of = [&](const Row& row) {
        return tree_.levels[layer][paths_[row.stream][layer]].edit;
      };
      for (const auto& group : group_by_edit(rows, edit_of)) {
        run_group(
            layer, edit_of(rows[static_cast<size_t>(group.front())]), rows, group, rope, hidden);
      }
    }
    return hidden;
  }

  /// Replaces the states of a group's rows, all of which have the same weights in this layer.
  void run_group(
      size_t layer,
      const std::optional<Edit>& edit,
      const std::vector<Row>& rows,
      const std::vector<int64_t>& group,
      const Rope& rope,
      at::Tensor& hidden) {
    const EditEffect effect = effect_of(edit ? &*edit : nullptr);
    if (!effect.keeps_attention && !effect.keeps_mlp) return;
    const LayerWeights weights = effect.changes_weights
                                     ? edited_layer_(*edit)
                                     : decoder_.weights().layer(static_cast<int32_t>(layer));
    const auto attend = [&](const Qkv& qkv) { return attend_group(layer, rows, group, qkv); };
    if (group.size() == rows.size()) {
      decoder_.run_layer(weights, effect, hidden, rope, attend);
      return;
    }
    const at::Tensor index = indices_on(hidden.device(), group);
    const Rope angles{rope.cos.index_select(0, index), rope.sin.index_select(0, index)};
    at::Tensor states = hidden.index_select(0, index);
    decoder_.run_layer(weights, effect, states, angles, attend);
    hidden.index_copy_(0, index, states);
  }

  at::Tensor attend_group(
      size_t layer,
      const std::vector<Row>& rows,
      const std::vector<int64_t>& group,
      const Qkv& qkv) {
    std::vector<GeneratedRow> generated;
    for (const int64_t index : group) {
      const Row& row = rows[static_cast<size_t>(index)];
      const int64_t prompt_len = std::ssize(requests_[row.request].prompt);
      generated.push_back(
          {.branch = paths_[row.stream][layer],
           .run = static_cast<int64_t>(row.request),
           .prompt_len = prompt_len,
           .slot = row.slot,
           .num_before = row.position - prompt_len});
    }
    return kv_->attend_generated(layer, generated, qkv);
  }

  const LmHead& head() const { return decoder_.backend().head(); }

  Decoder& decoder_;
  const EditedLayer& edited_layer_;
  const StreamTree& tree_;
  std::span<const GenerationRequest> requests_;
  const Tokenizer& tokenizer_;
  PhaseClock& clock_;
  PackedRows packed_;
  std::vector<std::vector<Generation>> answers_;  // [streams][requests]
  std::vector<std::vector<size_t>> paths_;        // [streams][layers]: index of the branch
  std::unique_ptr<UnitKv> kv_;
};

}  // namespace

std::vector<std::vector<Generation>> generate_streams(
    Decoder& decoder,
    const EditedLayer& edited_layer,
    const StreamTree& tree,
    std::span<const GenerationRequest> requests,
    const Tokenizer& tokenizer,
    Use prefix,
    PhaseClock& clock) {
  return Generator(decoder, edited_layer, tree, requests, tokenizer, prefix, clock).run();
}

int64_t generation_kv_bytes(
    const Backend& backend,
    const StreamTree& tree,
    std::span<const GenerationRequest> requests,
    Use prefix) {
  const int64_t num_answers = std::ssize(tree.levels.back()) * std::ssize(requests);
  return backend.kv_bytes(
      pack_prompts(requests, prefix), tree, num_answers, stored_tokens(requests));
}

double generation_cost(
    const ModelConfig& config,
    const Weights& weights,
    const StreamTree& tree,
    std::span<const GenerationRequest> requests,
    Use prefix) {
  // Of the order of what CPUs and devices do: a core with tiles 70, an H100 200.
  constexpr double kFlopsPerByte = 100;
  const PackedRows packed = pack_prompts(requests, prefix);
  const auto element_bytes = static_cast<int64_t>(weights.embedding().element_size());
  const LayerPasses passes = count_passes(tree);
  const auto layer_bytes = static_cast<double>(weights.edited_bytes());
  const double prompt_flops = 2 * layer_bytes / static_cast<double>(element_bytes) *
                              passes.layers() * static_cast<double>(packed.num_rows());
  // A step reads all weights once, and what the prompts share; what a row has of its own is read
  // whatever else is in the batch.
  const double step_bytes =
      layer_bytes * config.num_layers + static_cast<double>(weights.head().nbytes()) +
      static_cast<double>(
          passes.attention * packed.prefix_len * kv_row_bytes(config, element_bytes));
  return prompt_flops / kFlopsPerByte + step_bytes * static_cast<double>(stored_tokens(requests));
}

}  // namespace prune_sweep
