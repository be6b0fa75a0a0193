#include "engine/plain/cuda_graph.hpp"

#include <c10/util/Exception.h>

namespace prune_sweep {

std::unique_ptr<CudaGraph> CudaGraph::record(
    const GraphTable& graphs, const std::function<void()>& queue) {
  void* const graph = graphs.begin();
  try {
    queue();
    graphs.end(graph);
  } catch (const c10::OutOfMemoryError&) {
    graphs.abandon(graph);
    return nullptr;
  } catch (...) {
    graphs.abandon(graph);
    throw;
  }
  return std::unique_ptr<CudaGraph>(new CudaGraph(graphs, graph));
}

}  // namespace prune_sweep
