#include "engine/plain/device_ops.hpp"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

ElementType element_type(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kBFloat16:
      return ElementType::kBfloat16;
    case at::kHalf:
      return ElementType::kFloat16;
    default:
      return ElementType::kFloat32;
  }
}

/// The one that libtorch's own operations are queued in; null on a CPU.
void* stream_of(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return nullptr;
  const c10::impl::VirtualGuardImpl device(tensor.device().type());
  return device.getStream(tensor.device()).native_handle();
}

void require_begun(const char* error) {
  if (error != nullptr) throw Error(ExitStatus::kInternal, "CUDA kernel", error);
}

}  // namespace

at::Tensor DeviceOps::rms_norm(const at::Tensor& x, const RowNorm& norm) const {
  if (kernels_ == nullptr) return plain::rms_norm(x, norm.weight, norm.eps);
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty_like(in);
  const int64_t n = in.size(-1);
  require_begun(kernels_->rms_norm(
      element_type(in),
      in.const_data_ptr(),
      norm.weight.const_data_ptr(),
      out.data_ptr(),
      in.numel() / n,
      n,
      static_cast<float>(norm.eps),
      stream_of(in)));
  return out;
}

at::Tensor DeviceOps::norm_and_rotate(const at::Tensor& x, const HeadTurn& turn) const {
  const auto& [norm, rope] = turn;
  if (kernels_ == nullptr) {
    const bool has_norm = norm.weight.defined();
    return plain::rotate(has_norm ? plain::rms_norm(x, norm.weight, norm.eps) : x, rope);
  }
  const at::Tensor rows = x.contiguous();
  require_begun(kernels_->norm_and_rotate(
      element_type(rows),
      rows.data_ptr(),
      norm.weight.defined() ? norm.weight.const_data_ptr() : nullptr,
      rope.cos.const_data_ptr(),
      rope.sin.const_data_ptr(),
      rows.size(0),
      rows.size(1),
      rows.size(2),
      static_cast<float>(norm.eps),
      stream_of(rows)));
  return rows;
}

at::Tensor DeviceOps::silu_mul(const at::Tensor& gate, const at::Tensor& up) const {
  if (kernels_ == nullptr) return plain::silu_mul(gate, up);
  at::Tensor out = at::empty_like(gate);
  require_begun(kernels_->silu_mul(
      element_type(gate),
      gate.const_data_ptr(),
      up.const_data_ptr(),
      out.data_ptr(),
      gate.numel(),
      stream_of(gate)));
  return out;
}

Attended DeviceOps::merge(const Attended& a, const Attended& b) const {
  if (kernels_ == nullptr) return plain::merge(a, b);
  // Kernels of attention may leave their own strides.
  const at::Tensor values_a = a.values.contiguous();
  const at::Tensor values_b = b.values.contiguous();
  const at::Tensor log_sum_a = a.log_sum.contiguous();
  const at::Tensor log_sum_b = b.log_sum.contiguous();
  Attended merged{at::empty_like(values_a), at::empty_like(log_sum_a)};
  require_begun(kernels_->merge(
      element_type(values_a),
      values_a.const_data_ptr(),
      log_sum_a.const_data_ptr<float>(),
      values_b.const_data_ptr(),
      log_sum_b.const_data_ptr<float>(),
      merged.values.data_ptr(),
      merged.log_sum.data_ptr<float>(),
      values_a.size(0),
      values_a.size(1),
      values_a.size(2),
      stream_of(values_a)));
  return merged;
}

}  // namespace prune_sweep
