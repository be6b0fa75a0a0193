/// \file
/// Unit to records: the whole worker without MPI and without sockets. The debugger's door.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "prune_sweep/engine/engine.hpp"
#include "prune_sweep/inputs/inputs.hpp"
#include "prune_sweep/protocol/message.hpp"

namespace prune_sweep {

class Requests;

class Evaluator {
 public:
  /// Reads the job's model and data. Throws Error (kBadInput) when this host's data are not those
  /// of the setup.
  Evaluator(const Setup& setup, EngineHooks hooks);
  ~Evaluator();

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

  double started_s_;
  Inputs inputs_;
  std::string device_;  // "cpu" or "cuda"
  std::unique_ptr<Requests> requests_;
  std::unique_ptr<Engine> engine_;
  double load_s_ = 0;
};

}  // namespace prune_sweep
