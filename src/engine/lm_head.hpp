/// \file
/// Final norm and LM head for the few rows that need them, with float32 logits whatever the model's
/// type.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/weights.hpp"
#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

/// What is wanted of logits: the largest, or also the sum of their powers.
enum class LogitsUse : uint8_t { kGreedy, kTotal };

class LmHead {
 public:
  /// A token whose log-probability after a row is wanted.
  struct Target {
    int64_t row = 0;
    int32_t id = 0;
  };
  struct Score {
    float logprob = 0;    ///< natural logarithm, over the whole vocabulary
    bool greedy = false;  ///< the row's arg-max, ties by lowest id
  };

  /// All references must outlive it.
  LmHead(
      const ModelConfig& config, const Weights& weights, const std::function<void()>& on_progress);

  /// [targets]. `hidden` [rows, hidden] comes from the last layer.
  std::vector<Score> score(const at::Tensor& hidden, std::span<const Target> targets) const;

  /// [vocab]: log-probabilities after one row.
  std::vector<float> logprobs(const at::Tensor& hidden) const;  // [1, hidden]

  /// [rows]: the arg-max of the float32 logits, ties by lowest id; -1 where no logit is a number.
  std::vector<int32_t> greedy(const at::Tensor& hidden) const;  // [rows, hidden]

 private:
  struct RowState;

  /// What is known of every row's logits over the whole vocabulary. on_logits(logits, first id,
  /// number of ids, first row, columns) is called with all float32 logits, [ids][columns] each
  /// time, from several threads.
  template <typename OnLogits>
  std::vector<RowState> scan(const at::Tensor& hidden, LogitsUse use, OnLogits on_logits) const;

  const ModelConfig& config_;
  const Weights& weights_;
  const std::function<void()>& on_progress_;
};

}  // namespace prune_sweep
