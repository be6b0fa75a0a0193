#include "engine/cuda/kernel_table.hpp"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAStream.h>

#include <memory>

#include "engine/cuda/kernels.hpp"

namespace prune_sweep {

namespace {

using at::cuda::CUDAGraph;

void* begin_graph() {
  auto graph = std::make_unique<CUDAGraph>();
  // Other threads may wait for the device meanwhile.
  graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
  return graph.release();
}

void end_graph(void* graph) { static_cast<CUDAGraph*>(graph)->capture_end(); }

void run_graph(void* graph) { static_cast<CUDAGraph*>(graph)->replay(); }

void delete_graph(void* graph) {
  c10::cuda::getCurrentCUDAStream().synchronize();
  delete static_cast<CUDAGraph*>(graph);
}

constexpr KernelTable kTable{
    KernelTable::kVersion,
    kernels::rms_norm,
    kernels::turn_heads,
    kernels::silu_mul,
    kernels::merge,
    kernels::attend_generated,
    kernels::scan_logits,
    begin_graph,
    end_graph,
    run_graph,
    delete_graph};

}  // namespace

}  // namespace prune_sweep

extern "C" __attribute__((visibility("default"))) const prune_sweep::KernelTable*
prune_sweep_kernel_table() {
  return &prune_sweep::kTable;
}
