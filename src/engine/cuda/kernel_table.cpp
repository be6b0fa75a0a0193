#include "engine/cuda/kernel_table.hpp"

#include "engine/cuda/graphs.hpp"
#include "engine/cuda/kernels.hpp"

extern "C" __attribute__((visibility("default"))) const prune_sweep::KernelTable*
prune_sweep_kernel_table() {
  namespace kernels = prune_sweep::kernels;
  static constexpr int32_t kVersion = prune_sweep::KernelTable::kVersion;
  static const prune_sweep::KernelTable table{
      kVersion,
      kernels::rms_norm,
      kernels::turn_heads,
      kernels::silu_mul,
      kernels::merge,
      kernels::attend_generated,
      kernels::scan_logits,
      &prune_sweep::cuda_graphs()};
  return &table;
}
