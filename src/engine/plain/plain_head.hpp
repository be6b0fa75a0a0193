/// \file
/// LmHead in plain operations.
#pragma once

#include <functional>

#include "engine/lm_head.hpp"
#include "engine/plain/device_ops.hpp"
#include "engine/weights.hpp"
#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

class PlainHead final : public LmHead {
 public:
  /// All references must outlive it.
  PlainHead(
      const ModelConfig& config,
      const Weights& weights,
      const DeviceOps& ops,
      const std::function<void()>& on_progress)
      : config_(config), weights_(weights), ops_(ops), on_progress_(on_progress) {}

  std::vector<Score> score(
      const at::Tensor& hidden, std::span<const Target> targets) const override;
  std::vector<float> logprobs(const at::Tensor& hidden) const override;
  at::Tensor greedy(const at::Tensor& hidden) const override;

 private:
  struct RowStates;

  /// What is known of the logits of `hidden` over the whole vocabulary. on_logits(logits [rows,
  /// ids], first id) is called for blocks of ids.
  template <typename OnLogits>
  RowStates scan(const at::Tensor& hidden, LogitsUse use, OnLogits on_logits) const;

  const ModelConfig& config_;
  const Weights& weights_;
  DeviceOps ops_;
  const std::function<void()>& on_progress_;
};

}  // namespace prune_sweep
