/// \file
/// Small tensors on their way to a device.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstdint>
#include <vector>

namespace prune_sweep {

/// A tensor of the CPU on `device`. A GPU gets it from pinned memory, so that nothing waits for
/// what is queued there.
inline at::Tensor to_device(const at::Tensor& tensor, at::Device device) {
  if (!device.is_cuda()) return tensor.to(device);
  return tensor.pin_memory().to(device, tensor.scalar_type(), /*non_blocking=*/true);
}

inline at::Tensor indices_on(at::Device device, const std::vector<int64_t>& values) {
  return to_device(at::tensor(values, at::kLong), device);
}

/// Waits for what is queued on a device; there is nothing to wait for on a CPU.
inline void wait_for(at::Device device) {
  if (!device.is_cuda()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeStream(guard.getStream(device));
}

}  // namespace prune_sweep
