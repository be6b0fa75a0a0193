#include "engine/decode.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/ids_to_host.hpp"
#include "engine/stop_rule.hpp"
#include "engine/to_device.hpp"
#include "engine/wave.hpp"

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

class Generator {
 public:
  Generator(
      Decoder& decoder,
      const EditedLayer& edited_layer,
      const StreamTree& tree,
      std::span<const GenerationRequest> requests,
      const Tokenizer& tokenizer,
      GenerationSavings savings,
      PhaseClock& clock)
      : decoder_(decoder),
        edited_layer_(edited_layer),
        tree_(tree),
        requests_(requests),
        tokenizer_(tokenizer),
        savings_(savings),
        clock_(clock),
        packed_(pack_prompts(requests, savings.prefix)),
        answers_(tree.levels.back().size(), std::vector<Generation>(requests.size())) {}

  std::vector<std::vector<Generation>> run() {
    prefill();
    // Where work is only queued, the next step is, too, before it is known whose last token the one
    // before gave: it is one too many for these.
    const bool is_queued = decoder_.backend().is_queued();
    while (true) {
      const IdsToHost ids(wave_->ids());
      if (is_queued) wave_->step();
      take(arrived(ids));
      if (live_.empty()) return std::move(answers_);
      if (is_worth_leaving_out(is_queued)) leave_out_finished();
      if (!is_queued) wave_->step();
    }
  }

 private:
  /// Runs the prompts and makes the first token of every answer.
  void prefill() {
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
    std::vector<AnswerRow> rows;
    for (size_t stream = 0; stream < answers_.size(); ++stream) {
      const at::Tensor& state = states[stream];
      if (num_solution_rows > 0) {
        score_solutions(stream, state.narrow(0, num_requests, num_solution_rows));
      }
      hidden.push_back(state.narrow(0, 0, num_requests));
      for (size_t i = 0; i < requests_.size(); ++i) {
        const auto slot = static_cast<int64_t>(stream * requests_.size() + i);
        const int64_t prompt_len = std::ssize(requests_[i].prompt);
        live_.push_back(slot);
        rows.push_back({stream, i, prompt_len, slot, prompt_len});
      }
    }
    kv_->reserve_generated(std::ssize(rows), stored_tokens(requests_));
    const at::Tensor ids = [&] {
      const InPhase in_head(clock_, Phase::kHead);
      return head().greedy(at::cat(hidden));
    }();
    make_wave(std::move(rows), ids);
  }

  void make_wave(std::vector<AnswerRow> rows, const at::Tensor& ids) {
    int64_t longest_prompt = 0;
    for (const GenerationRequest& request : requests_) {
      longest_prompt = std::max<int64_t>(longest_prompt, std::ssize(request.prompt));
    }
    const WaveContext context{
        decoder_,
        edited_layer_,
        tree_,
        clock_,
        kv_.get(),
        savings_.graphs,
        savings_.copies_side_by_side};
    wave_.emplace(context, std::move(rows), ids, longest_prompt + stored_tokens(requests_) + 1);
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

  std::span<const int32_t> arrived(const IdsToHost& ids) {
    const InPhase in_decode(clock_, Phase::kDecode);
    return ids.wait();
  }

  /// The next tokens of all rows of the wave; finished rows are live no more.
  void take(std::span<const int32_t> ids) {
    std::vector<int64_t> going_on;
    for (const int64_t index : live_) {
      const AnswerRow& row = wave_->rows()[static_cast<size_t>(index)];
      const int32_t id = ids[static_cast<size_t>(index)];
      if (requests_[row.request].max_new_tokens <= 0) continue;
      if (id < 0) {
        Generation& answer = answers_[row.stream][row.request];
        answer.text = text_of(answer.ids, tokenizer_);
        answer.stop = StopReason::kNotFinite;
        continue;
      }
      if (!is_finished_by(row, id)) going_on.push_back(index);
    }
    live_ = std::move(going_on);
  }

  /// What is queued is best left as it is for a while, though some of it is for nothing.
  bool is_worth_leaving_out(bool is_queued) const {
    const size_t num_rows = wave_->rows().size();
    return is_queued ? live_.size() * 8 <= num_rows * 7 : live_.size() < num_rows;
  }

  void leave_out_finished() {
    const at::Tensor index = indices_on(wave_->ids().device(), live_);
    make_wave(wave_->rows_now(live_), wave_->ids().index_select(0, index));
    std::iota(live_.begin(), live_.end(), 0);
  }

  /// Adds the row's token to its answer.
  bool is_finished_by(const AnswerRow& row, int32_t id) {
    const GenerationRequest& request = requests_[row.request];
    Generation& answer = answers_[row.stream][row.request];
    answer.ids.push_back(id);
    const std::vector<int32_t>& eos_ids = decoder_.config().eos_ids;
    const bool is_eos = std::find(eos_ids.begin(), eos_ids.end(), id) != eos_ids.end();
    const bool is_full = std::ssize(answer.ids) >= request.max_new_tokens;
    if (!is_eos && !is_full && !may_end_with_stop(answer.ids, request.until, tokenizer_))
      return false;

    answer.text = text_of(answer.ids, tokenizer_);
    const size_t stop = find_stop(answer.text, request.until);
    if (stop != std::string::npos) answer.text.resize(stop);
    answer.stop = is_eos                      ? StopReason::kEos
                  : stop != std::string::npos ? StopReason::kUntil
                                              : StopReason::kLength;
    return is_eos || is_full || stop != std::string::npos;
  }

  const LmHead& head() const { return decoder_.backend().head(); }

  Decoder& decoder_;
  const EditedLayer& edited_layer_;
  const StreamTree& tree_;
  std::span<const GenerationRequest> requests_;
  const Tokenizer& tokenizer_;
  GenerationSavings savings_;
  PhaseClock& clock_;
  PackedRows packed_;
  std::vector<std::vector<Generation>> answers_;  // [streams][requests]
  std::unique_ptr<UnitKv> kv_;
  std::optional<Wave> wave_;
  std::vector<int64_t> live_;  ///< indices of the wave's rows that are not finished
};

}  // namespace

std::vector<std::vector<Generation>> generate_streams(
    Decoder& decoder,
    const EditedLayer& edited_layer,
    const StreamTree& tree,
    std::span<const GenerationRequest> requests,
    const Tokenizer& tokenizer,
    GenerationSavings savings,
    PhaseClock& clock) {
  return Generator(decoder, edited_layer, tree, requests, tokenizer, savings, clock).run();
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
