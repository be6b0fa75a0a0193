/// \file
/// Evaluates variants of one model: ids in, log-likelihoods and texts out. The only way into the
/// layer that knows libtorch; its interface is free of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "prune_sweep/core/job.hpp"
#include "prune_sweep/core/phases.hpp"
#include "prune_sweep/core/record.hpp"
#include "prune_sweep/core/savings.hpp"
#include "prune_sweep/core/variant.hpp"
#include "prune_sweep/model/checkpoint.hpp"
#include "prune_sweep/text/tokenizer.hpp"

namespace prune_sweep {

/// How it is computed: by what is fastest on the device, or by plain operations, which are the same
/// on all devices.
enum class Operations : uint8_t { kFastest, kPlain };

struct EngineSettings {
  DType dtype = DType::kBfloat16;
  DeviceKind device = DeviceKind::kCpu;
  int32_t num_threads = 0;  ///< 0: as many as the process may use
  Savings savings{};
  /// Keys, values and copies of edited weights that generation holds at once, half of it hidden
  /// states that scoring does; requests that need more are taken in batches. Of a GPU half of what
  /// the weights leave is used instead.
  int64_t max_unit_bytes = int64_t{1808} << 20;
  Operations operations = Operations::kFastest;
};

/// Continuations to score after one context (eval-spec: token-level log-likelihood).
struct LoglikRequest {
  std::vector<int32_t> context;                     // [context_len], not empty
  std::vector<std::vector<int32_t>> continuations;  // [choices][continuation_len], none empty
};

struct ContinuationScore {
  /// Sum over the continuation's tokens, natural logarithm, float32 log-softmax; NaN where a logit
  /// is no finite number.
  float loglik = 0;
  bool greedy = false;  ///< every token was the arg-max
};

struct GenerationRequest {
  std::vector<int32_t> prompt;  // [prompt_len], not empty
  int32_t max_new_tokens = 0;
  std::vector<std::string> until;  ///< the text ends before the first of these
  std::vector<int32_t> solution;   ///< scored as a continuation of the prompt, too; may be empty
};

struct Generation {
  std::vector<int32_t> ids;  ///< as produced, an end-of-text token included
  std::string text;          ///< decoded, special tokens skipped, cut at the stop string
  StopReason stop = StopReason::kLength;
  /// Of the request's solution, teacher-forced; NaN without one and where it is not finite.
  float solution_loglik = std::numeric_limits<float>::quiet_NaN();
};

/// What the engine tells, and asks, during long work.
struct EngineHooks {
  std::function<void()> on_progress = [] {};                 ///< now and then: it lives
  std::function<bool()> should_stop = [] { return false; };  ///< between batches
};

class Engine {
 public:
  /// Maps the weights of `model_dir`; with float32 they are converted once. A device computes
  /// something to be warm, of which the hooks hear nothing. Throws Error (kBadInput) for a device
  /// that is not there.
  Engine(
      const std::filesystem::path& model_dir,
      const EngineSettings& settings,
      EngineHooks hooks = {});
  ~Engine();

  const ModelConfig& config() const;
  /// Version of libtorch, such as "2.11.0".
  static std::string torch_version();

  /// Scores every request under every variant: [variants][requests][continuations].
  /// Common prefixes of the requests and common layers of the variants are computed once.
  std::vector<std::vector<std::vector<ContinuationScore>>> loglik(
      std::span<const Variant> variants, std::span<const LoglikRequest> requests);

  /// Greedy generation: [variants][requests]. Ties go to the lowest id. Requests whose keys and
  /// values do not fit at once are taken in batches; when the engine should stop after one, the
  /// answers are those to the first requests only, one at least, as many of each variant.
  std::vector<std::vector<Generation>> generate(
      std::span<const Variant> variants,
      std::span<const GenerationRequest> requests,
      const Tokenizer& tokenizer);

  /// The `count` likeliest next tokens with their log-probabilities, best first, ties by lowest id.
  std::vector<std::pair<int32_t, float>> next_token(
      const Variant& variant, std::span<const int32_t> ids, int32_t count);

  /// Where the time went since the last call.
  PhaseSeconds take_phases();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace prune_sweep
