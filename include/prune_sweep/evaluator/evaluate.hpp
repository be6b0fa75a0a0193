/// \file
/// Unit to records: the whole worker without MPI and without sockets. The debugger's door.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "prune_sweep/engine/engine.hpp"
#include "prune_sweep/inputs/inputs.hpp"
#include "prune_sweep/protocol/message.hpp"

namespace prune_sweep {

class Evaluator {
 public:
  /// Reads the job's model and data. Throws Error (kBadInput) when this host's data are not those
  /// of the setup.
  Evaluator(const Setup& setup, EngineHooks hooks);

  Ready ready() const;

  /// Asks, edits, runs and scores: all questions, or, when it should stop before, the first ones.
  /// Throws Error when a log-likelihood is not finite.
  Result evaluate(const Lease& lease);

 private:
  std::vector<Record> score_choices(
      const Benchmark& benchmark,
      std::span<const Variant> variants,
      std::span<const int32_t> questions);
  std::vector<Record> generate_answers(
      const Benchmark& benchmark,
      std::span<const Variant> variants,
      std::span<const int32_t> questions);

  LoglikRequest loglik_request(const Benchmark& benchmark, int32_t question);
  GenerationRequest generation_request(const Benchmark& benchmark, int32_t question);

  /// Requests of questions that were asked before: units of other variants ask them again.
  template <typename Request>
  using Asked = std::map<std::pair<const Benchmark*, int32_t>, Request>;

  double started_s_;
  Inputs inputs_;
  std::string device_;  // "cpu" or "cuda"
  std::unique_ptr<Engine> engine_;
  double load_s_ = 0;
  Asked<LoglikRequest> asked_loglik_;
  Asked<GenerationRequest> asked_generation_;
};

}  // namespace prune_sweep
