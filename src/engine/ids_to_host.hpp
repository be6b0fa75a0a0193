/// \file
/// Token ids on their way from a device.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstdint>
#include <optional>
#include <span>

namespace prune_sweep {

/// A copy of ids as they are when it is made; what is queued behind it does not hold it up.
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
