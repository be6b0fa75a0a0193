/// \file
/// What stands between matrix products, on any device: by the kernels of a library where there are
/// some, by libtorch's operations otherwise.
#pragma once

#include <ATen/core/Tensor.h>

#include "engine/cuda/kernel_table.hpp"
#include "engine/kernels.hpp"
#include "engine/plain/varlen_attention.hpp"

namespace prune_sweep {

/// Values are rounded in the same places either way.
class DeviceOps {
 public:
  /// `kernels` may be null; tensors are where they work.
  explicit DeviceOps(const KernelTable* kernels = nullptr) : kernels_(kernels) {}

  at::Tensor rms_norm(const at::Tensor& x, const RowNorm& norm) const;  // [rows, n]
  /// Every head turned; may change `x`. Throws Error (kInternal), as the others do, when a kernel
  /// cannot be begun.
  at::Tensor norm_and_rotate(
      const at::Tensor& x, const HeadTurn& turn) const;  // [rows, heads, head_dim]
  /// SiLU(gate) * up.
  at::Tensor silu_mul(const at::Tensor& gate, const at::Tensor& up) const;
  /// Attention to the keys of both, of the same queries (arXiv 2402.05099, section 3.1).
  Attended merge(const Attended& a, const Attended& b) const;

 private:
  const KernelTable* kernels_;
};

}  // namespace prune_sweep
