/// \file
/// Work of a device that was queued once and is then queued again at once: what a step of
/// generation does is the same for as long as its rows are.
#pragma once

namespace prune_sweep {

class StepGraph {
 public:
  virtual ~StepGraph() = default;

  /// Queues all of it, on the tensors that it was recorded with.
  virtual void run() = 0;
};

}  // namespace prune_sweep
