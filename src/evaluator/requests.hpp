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
/// those of all questions that benchmarks have. For one caller at a time.
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

  /// What `find` gives for questions, without the thread coming between.
  template <typename Request, typename Find>
  std::vector<Request> get_all(std::span<const int32_t> questions, Find find);
  template <typename Request, typename Make>
  const Request& find(Made<Request>& made, const Benchmark& benchmark, int32_t question, Make make);
  const LoglikRequest& find_loglik(const Benchmark& benchmark, int32_t question);
  const GenerationRequest& find_generation(const Benchmark& benchmark, int32_t question);
  void make_all(const std::stop_token& stop);

  const Inputs& inputs_;
  std::mutex mutex_;                     ///< for what is made, and for Tokenizer::encode()
  std::atomic<bool> is_asking_ = false;  ///< the caller waits for the mutex, which is its next
  Made<LoglikRequest> loglik_;
  Made<GenerationRequest> generation_;
  std::jthread ahead_;  // ends before the others do
};

}  // namespace prune_sweep
