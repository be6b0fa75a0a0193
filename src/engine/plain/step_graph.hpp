/// \file
/// Work of a device that was queued once, to be queued again at once: what a step of generation
/// does is the same for as long as its rows are.
#pragma once

#include <functional>

#include "engine/cuda/kernel_table.hpp"

namespace prune_sweep {

class StepGraph {
 public:
  /// Records what `queue` queues, without running it. It must have run before, on the tensors that
  /// it takes now. Throws what libtorch throws. References must outlive it.
  StepGraph(
      const KernelTable& kernels,
      const std::function<void()>& queue,
      const std::function<void()>& on_progress)
      : kernels_(kernels), on_progress_(on_progress), graph_(kernels.begin_graph()) {
    try {
      queue();
      kernels_.end_graph(graph_);
    } catch (...) {
      kernels_.delete_graph(graph_);
      throw;
    }
  }
  ~StepGraph() { kernels_.delete_graph(graph_); }
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;

  void run() {
    on_progress_();
    kernels_.run_graph(graph_);
  }

 private:
  const KernelTable& kernels_;
  const std::function<void()>& on_progress_;
  void* graph_;
};

}  // namespace prune_sweep
