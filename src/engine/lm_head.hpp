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
  at::Tensor norm(const at::Tensor& hidden) const;

  /// Calls f(first_id, logits) with float32 logits [rows, some ids] on the CPU, until all ids were
  /// there.
  void for_each_part(
      const at::Tensor& hidden, const std::function<void(int64_t, const at::Tensor&)>& f) const;

  int32_t greedy_of(const at::Tensor& normed, const at::Tensor& logits) const;

  const ModelConfig& config_;
  const Weights& weights_;
  const std::function<void()>& on_progress_;
};

}  // namespace prune_sweep
