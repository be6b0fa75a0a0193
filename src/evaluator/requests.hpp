/// \file
/// What the engine is asked for the questions of a job.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "prune_sweep/engine/engine.hpp"
#include "prune_sweep/inputs/inputs.hpp"

namespace prune_sweep {

/// Throws Error (kInternal) when there is none.
const Question& question_at(const Benchmark& benchmark, int32_t index);

/// Requests are made once: units of other variants ask the same questions again. There is room for
/// those of all questions that benchmarks have.
class Requests {
 public:
  /// `inputs` must outlive it.
  explicit Requests(const Inputs& inputs) : inputs_(inputs) {}

  /// Makes those of all questions in a thread of its own, between the calls below.
  void make_ahead();

  std::vector<LoglikRequest> loglik(const Benchmark& benchmark, std::span<const int32_t> questions);
  std::vector<GenerationRequest> generation(
      const Benchmark& benchmark, std::span<const int32_t> questions);

 private:
  template <typename Request>
  using Made = std::map<std::pair<const Benchmark*, int32_t>, Request>;

  template <typename Request>
  std::vector<Request> get(
      Made<Request>& made, const Benchmark& benchmark, std::span<const int32_t> questions);
  template <typename Request>
  const Request& find(Made<Request>& made, const Benchmark& benchmark, int32_t question);
  void make(const Question& asked, const Benchmark& benchmark, LoglikRequest& request) const;
  void make(const Question& asked, const Benchmark& benchmark, GenerationRequest& request) const;
  void make_all(const std::stop_token& stop);

  const Inputs& inputs_;
  std::mutex mutex_;  ///< for what is made, and the tokenizer, which keeps pieces it has seen
  std::atomic<int> num_asking_ = 0;  ///< callers that wait for the mutex
  Made<LoglikRequest> loglik_;
  Made<GenerationRequest> generation_;
  std::jthread ahead_;  // ends before the others do
};

}  // namespace prune_sweep
