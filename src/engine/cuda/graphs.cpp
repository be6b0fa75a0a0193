#include "engine/cuda/graphs.hpp"

#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGraph.h>
#include <ATen/cuda/MemPool.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <memory>

namespace prune_sweep {

namespace {

using at::cuda::CUDAGraph;

/// A pool of the device's allocator and, under the same id, one of the allocator of pinned memory.
at::cuda::MemPool* make_pool() {
  auto* const pool = new at::cuda::MemPool();
  // The second one is made by whoever first uses it, a graph, and given up with that graph; it
  // cannot be given up twice. So it gets one more user, who stays.
  auto* const pinned = at::getHostAllocator(at::kCUDA);
  pinned->begin_allocate_to_pool(pool->id(), [](c10::Stream) { return false; });
  pinned->end_allocate_to_pool(pool->id());
  return pool;
}

/// Memory of all graphs, of which there is one at a time: what one leaves is there for the next. It
/// lives as long as the process, since the allocator may be gone before it.
c10::MempoolId_t pool_id() {
  static at::cuda::MemPool* const pool = make_pool();
  return pool->id();
}

void* begin() {
  auto graph = std::make_unique<CUDAGraph>();
  // Other threads may wait for the device meanwhile.
  graph->capture_begin(pool_id(), cudaStreamCaptureModeThreadLocal);
  return graph.release();
}

void end(void* graph) { static_cast<CUDAGraph*>(graph)->capture_end(); }

void run(void* graph) { static_cast<CUDAGraph*>(graph)->replay(); }

void remove(void* graph) {
  try {
    c10::cuda::getCurrentCUDAStream().synchronize();
  } catch (const c10::Error&) {
    // Whoever queues something next hears of it.
  }
  delete static_cast<CUDAGraph*>(graph);
}

void abandon(void* graph) {
  try {
    end(graph);
  } catch (const c10::Error&) {
    // The stream records no more, but the allocator may not have been told.
    try {
      c10::cuda::CUDACachingAllocator::endAllocateToPool(c10::cuda::current_device(), pool_id());
    } catch (const c10::Error&) {
    }
  }
  delete static_cast<CUDAGraph*>(graph);
}

constexpr GraphTable kGraphs{begin, end, abandon, run, remove};

}  // namespace

const GraphTable& cuda_graphs() { return kGraphs; }

}  // namespace prune_sweep
