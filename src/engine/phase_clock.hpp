/// \file
/// Measures how long the engine is in which phase.
#pragma once

#include <chrono>
#include <optional>
#include <utility>

#include "prune_sweep/core/phases.hpp"

namespace prune_sweep {

class PhaseClock {
 public:
  /// From now on time is that of `phase`; returns the phase until now.
  std::optional<Phase> enter(std::optional<Phase> phase) {
    const auto now = std::chrono::steady_clock::now();
    if (phase_) {
      seconds_of(seconds_, *phase_) += std::chrono::duration<double>(now - since_).count();
    }
    since_ = now;
    return std::exchange(phase_, phase);
  }
  /// Moves a share of what `from` has gained since it had `before_s` to another phase.
  void move_share(Phase from, double before_s, double share, Phase to) {
    const double moved_s = share * (seconds_of(seconds_, from) - before_s);
    seconds_of(seconds_, from) -= moved_s;
    seconds_of(seconds_, to) += moved_s;
  }
  double seconds_in(Phase phase) { return seconds_of(seconds_, phase); }
  /// What was measured since the last call.
  PhaseSeconds take() { return std::exchange(seconds_, PhaseSeconds{}); }

 private:
  PhaseSeconds seconds_{};
  std::optional<Phase> phase_;
  std::chrono::steady_clock::time_point since_;
};

/// The phase of a scope; the one around it goes on behind it.
class InPhase {
 public:
  InPhase(PhaseClock& clock, Phase phase) : clock_(clock), outer_(clock.enter(phase)) {}
  ~InPhase() { clock_.enter(outer_); }
  InPhase(const InPhase&) = delete;
  InPhase& operator=(const InPhase&) = delete;

 private:
  PhaseClock& clock_;
  std::optional<Phase> outer_;
};

}  // namespace prune_sweep
