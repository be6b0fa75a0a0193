/// \file
/// StepGraph by CUDA graphs.
#pragma once

#include <functional>
#include <memory>

#include "engine/cuda/kernel_table.hpp"
#include "engine/step_graph.hpp"

namespace prune_sweep {

class CudaGraph final : public StepGraph {
 public:
  /// Records what `queue` queues, without running it; null when the device has not memory enough
  /// for that. Everything in it must have run before, so that nothing is left to load or to make.
  /// Throws what `queue` throws.
  static std::unique_ptr<CudaGraph> record(
      const GraphTable& graphs, const std::function<void()>& queue);

  ~CudaGraph() override { graphs_.remove(graph_); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void run() override { graphs_.run(graph_); }

 private:
  CudaGraph(const GraphTable& graphs, void* graph) : graphs_(graphs), graph_(graph) {}

  const GraphTable& graphs_;
  void* graph_;
};

}  // namespace prune_sweep
