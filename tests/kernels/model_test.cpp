// A whole model with kernels beside the same with libtorch's operations.

#include <c10/core/InferenceMode.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "engine/decode.hpp"
#include "engine/loglik.hpp"
#include "engine/plain/plain_backend.hpp"
#include "engine/pruner.hpp"
#include "engine/random_model.hpp"
#include "kernels/under_test.hpp"
#include "prune_sweep/core/stream_tree.hpp"
#include "prune_sweep/model/checkpoint.hpp"

using namespace prune_sweep;

namespace {

/// What an Engine is made of, with a table of kernels of one's choice.
class Model {
 public:
  Model(const RandomModel& model, const KernelsUnderTest& where, const KernelTable* kernels)
      : config_(read_model_config(model.path())),
        weights_(Checkpoint::open(model.path(), config_), config_, at::kFloat, where.device),
        backend_(config_, weights_, DeviceOps(kernels), Use::kOff, kRowBlock, on_progress_),
        edited_layers_(weights_),
        decoder_(config_, weights_, backend_) {}

  auto score(const std::vector<Variant>& variants, const std::vector<LoglikRequest>& requests) {
    const StreamTree tree = build_stream_tree(variants, config_.num_layers);
    return score_streams(decoder_, edited_layer(), tree, requests, Use::kOn, clock_);
  }

  auto generate(
      const std::vector<Variant>& variants,
      const std::vector<GenerationRequest>& requests,
      const Tokenizer& tokenizer) {
    const StreamTree tree = build_stream_tree(variants, config_.num_layers);
    const GenerationSavings savings{.graphs = Use::kOff};
    return generate_streams(decoder_, edited_layer(), tree, requests, tokenizer, savings, clock_);
  }

 private:
  static constexpr int64_t kRowBlock = 16;  // several for the rows of a stream

  EditedLayer edited_layer() {
    return [this](const std::vector<Edit>& edits) {
      std::vector<DecidedEdit> decided;
      for (const Edit& edit : edits) decided.push_back({edit, {edit.layer}});
      return edited_layers_.get(decided);
    };
  }

  ModelConfig config_;
  Weights weights_;
  std::function<void()> on_progress_ = [] {};
  PlainBackend backend_;
  EditedLayers edited_layers_;
  Decoder decoder_;
  PhaseClock clock_;
};

std::vector<Variant> variants_of_all_kinds() {
  std::vector<Variant> variants;
  for (const std::string edits :
       {"", "0 drop", "1 drop-attention", "0-2 magnitude 40", "0-2 magnitude 70"}) {
    variants.push_back(variant_of(edits, 3));
  }
  return variants;
}

}  // namespace

TEST_CASE("kernels give a model the scores and answers of libtorch's operations") {
  const KernelsUnderTest under_test = GENERATE(from_range(kernels_under_test()));
  // Heads that the kernel of attention is made for, and others.
  const int64_t head_dim = GENERATE(32, 12);
  CAPTURE(head_dim);
  const c10::InferenceMode without_gradients;
  const RandomModel random_model({.hidden = 40, .heads = 4, .head_dim = head_dim});
  Model with(random_model, under_test, under_test.table);
  Model without(random_model, under_test, nullptr);
  const std::vector<Variant> variants = variants_of_all_kinds();
  const std::vector<int32_t> prefix = random_ids(20, 3);

  std::vector<LoglikRequest> questions;
  for (const size_t own : {1, 25}) {
    questions.push_back({joined(prefix, random_ids(own, 30 + own)), {{7}, {8, 9}}});
  }
  const auto scores = with.score(variants, questions);
  const auto expected_scores = without.score(variants, questions);
  REQUIRE(scores.size() == expected_scores.size());
  for (size_t stream = 0; stream < scores.size(); ++stream) {
    for (size_t question = 0; question < questions.size(); ++question) {
      for (size_t choice = 0; choice < 2; ++choice) {
        CAPTURE(stream, question, choice);
        const ContinuationScore& score = scores[stream][question][choice];
        const ContinuationScore& expected = expected_scores[stream][question][choice];
        CHECK(std::abs(score.loglik - expected.loglik) < 1e-4);
        CHECK(score.greedy == expected.greedy);
      }
    }
  }

  std::vector<GenerationRequest> prompts;
  for (const size_t own : {1, 12}) {
    prompts.push_back({joined(prefix, random_ids(own, 50 + own)), 4, {}, {20, 21}});
  }
  const Tokenizer tokenizer = Tokenizer::read(random_model.path());
  const auto answers = with.generate(variants, prompts, tokenizer);
  const auto expected_answers = without.generate(variants, prompts, tokenizer);
  REQUIRE(answers.size() == expected_answers.size());
  for (size_t stream = 0; stream < answers.size(); ++stream) {
    for (size_t prompt = 0; prompt < prompts.size(); ++prompt) {
      CAPTURE(stream, prompt);
      const Generation& answer = answers[stream][prompt];
      const Generation& expected = expected_answers[stream][prompt];
      CHECK(answer.ids == expected.ids);
      CHECK(answer.stop == expected.stop);
      CHECK(std::abs(answer.solution_loglik - expected.solution_loglik) < 1e-4);
    }
  }
}
