/// \file
/// Final norm and LM head for the few rows that need them, with float32 logits whatever the model's
/// type.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

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

  virtual ~LmHead() = default;

  /// [targets]. `hidden` [rows, hidden] comes from the last layer.
  virtual std::vector<Score> score(
      const at::Tensor& hidden, std::span<const Target> targets) const = 0;

  /// [vocab]: log-probabilities after one row.
  virtual std::vector<float> logprobs(const at::Tensor& hidden) const = 0;  // [1, hidden]

  /// The arg-max of the float32 logits, ties by lowest id; -1 where no logit is a number: =>
  /// [rows], int32, on the device of `hidden` [rows, hidden].
  virtual at::Tensor greedy(const at::Tensor& hidden) const = 0;
};

}  // namespace prune_sweep
