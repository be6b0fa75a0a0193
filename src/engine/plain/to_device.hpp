/// \file
/// Small tensors on their way to a device and back.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstdint>
#include <optional>
#include <span>
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

/// int32 values on their way to the host; what is queued behind them does not hold them up.
class IdsToHost {
 public:
  explicit IdsToHost(const at::Tensor& ids) {
    const bool is_queued = ids.is_cuda();
    values_ = at::empty(ids.sizes(), at::TensorOptions().dtype(at::kInt).pinned_memory(is_queued));
    values_.copy_(ids, /*non_blocking=*/is_queued);
    if (!is_queued) return;
    arrived_.emplace(ids.device().type());
    arrived_->record(c10::impl::VirtualGuardImpl(ids.device().type()).getStream(ids.device()));
  }

  std::span<const int32_t> wait() const {
    if (arrived_) arrived_->synchronize();
    return {values_.const_data_ptr<int32_t>(), static_cast<size_t>(values_.numel())};
  }

 private:
  at::Tensor values_;
  std::optional<c10::Event> arrived_;
};

}  // namespace prune_sweep
