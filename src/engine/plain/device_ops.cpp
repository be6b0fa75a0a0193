#include "engine/plain/device_ops.hpp"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "engine/attention_parts.hpp"
#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

ElementType element_type(at::ScalarType type) {
  switch (type) {
    case at::kBFloat16:
      return ElementType::kBfloat16;
    case at::kHalf:
      return ElementType::kFloat16;
    default:
      return ElementType::kFloat32;
  }
}
ElementType element_type(const at::Tensor& tensor) { return element_type(tensor.scalar_type()); }

/// The one that libtorch's own operations are queued in; null on a CPU.
void* stream_of(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return nullptr;
  const c10::impl::VirtualGuardImpl device(tensor.device().type());
  return device.getStream(tensor.device()).native_handle();
}

void require_begun(const char* error) {
  if (error != nullptr) throw Error(ExitStatus::kInternal, "CUDA kernel", error);
}

const void* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr() : nullptr;
}

/// Whole rows, which may lie apart: [rows, heads, head_dim] or [rows, n].
at::Tensor with_whole_rows(const at::Tensor& x) {
  const bool are_whole = x.stride(-1) == 1 && (x.dim() == 2 || x.stride(1) == x.size(2));
  return are_whole ? x : x.contiguous();
}

/// [heads, rows] whose rows are neighbours.
at::Tensor with_whole_heads(const at::Tensor& log_sum) {
  return log_sum.stride(1) == 1 ? log_sum : log_sum.contiguous();
}

}  // namespace

at::Tensor DeviceOps::rms_norm(const at::Tensor& x, const RowNorm& norm) const {
  if (kernels_ == nullptr) return plain::rms_norm(x, norm.weight, norm.eps);
  return norm_by_kernel(x.contiguous(), {}, norm);
}

at::Tensor DeviceOps::add_and_norm(
    at::Tensor x, const at::Tensor& added, const RowNorm& norm) const {
  if (kernels_ == nullptr || !x.is_contiguous()) return rms_norm(x.add_(added), norm);
  return norm_by_kernel(x, added.contiguous(), norm);
}

at::Tensor DeviceOps::norm_by_kernel(
    const at::Tensor& x, const at::Tensor& added, const RowNorm& norm) const {
  at::Tensor out = at::empty_like(x);
  const int64_t n = x.size(-1);
  require_begun(kernels_->rms_norm(
      element_type(x),
      {.x = x.mutable_data_ptr(),
       .added = data_or_null(added),
       .weight = norm.weight.const_data_ptr(),
       .out = out.data_ptr(),
       .rows = x.numel() / n,
       .n = n,
       .eps = static_cast<float>(norm.eps)},
      stream_of(x)));
  return out;
}

void DeviceOps::turn_heads(at::Tensor x, const HeadTurns& turns) const {
  const auto& [q_heads, q_norm, k_norm, rope] = turns;
  const int64_t k_heads = x.size(1) - q_heads;
  if (kernels_ == nullptr) {
    const auto turn = [&](const at::Tensor& heads, const RowNorm& norm) {
      const bool has_norm = norm.weight.defined();
      heads.copy_(
          plain::rotate(has_norm ? plain::rms_norm(heads, norm.weight, norm.eps) : heads, rope));
    };
    if (q_heads > 0) turn(x.narrow(1, 0, q_heads), q_norm);
    if (k_heads > 0) turn(x.narrow(1, q_heads, k_heads), k_norm);
    return;
  }
  require_begun(kernels_->turn_heads(
      element_type(x),
      {.x = x.data_ptr(),
       .row_stride = x.stride(0),
       .q_norm = data_or_null(q_norm.weight),
       .k_norm = data_or_null(k_norm.weight),
       .cos = rope.cos.const_data_ptr(),
       .sin = rope.sin.const_data_ptr(),
       .rows = x.size(0),
       .q_heads = q_heads,
       .k_heads = k_heads,
       .head_dim = x.size(2),
       .eps = static_cast<float>(q_norm.eps)},
      stream_of(x)));
}

at::Tensor DeviceOps::silu_mul(const at::Tensor& gate, const at::Tensor& up) const {
  if (kernels_ == nullptr) return plain::silu_mul(gate, up);
  const bool are_alike = gate.stride(0) == up.stride(0);
  const at::Tensor gates = are_alike ? with_whole_rows(gate) : gate.contiguous();
  const at::Tensor ups = are_alike ? with_whole_rows(up) : up.contiguous();
  at::Tensor out = at::empty({gates.size(0), gates.size(1)}, gates.options());
  require_begun(kernels_->silu_mul(
      element_type(gates),
      {.gate = gates.const_data_ptr(),
       .up = ups.const_data_ptr(),
       .row_stride = gates.stride(0),
       .out = out.data_ptr(),
       .rows = gates.size(0),
       .n = gates.size(1)},
      stream_of(gates)));
  return out;
}

void DeviceOps::merge(Attended& attended, const Attended& more, LogSums sums) const {
  if (kernels_ == nullptr) {
    const Attended merged = plain::merge(attended, more);
    attended.values.copy_(merged.values);
    attended.log_sum.copy_(merged.log_sum);
    return;
  }
  // Kernels of attention may leave their own strides.
  attended.values = attended.values.contiguous();
  attended.log_sum = with_whole_heads(attended.log_sum);
  const at::Tensor values = more.values.contiguous();
  const at::Tensor log_sum = with_whole_heads(more.log_sum);
  require_begun(kernels_->merge(
      element_type(values),
      {.values = attended.values.data_ptr(),
       .log_sum = attended.log_sum.data_ptr<float>(),
       .log_sum_stride = attended.log_sum.stride(0),
       .more_values = values.const_data_ptr(),
       .more_log_sum = log_sum.const_data_ptr<float>(),
       .more_log_sum_stride = log_sum.stride(0),
       .rows = values.size(0),
       .heads = values.size(1),
       .head_dim = values.size(2),
       .merges_log_sums = sums == LogSums::kMerged},
      stream_of(values)));
}

bool DeviceOps::can_attend_generated(at::ScalarType type, int64_t head_dim) const {
  return kernels_ != nullptr && prune_sweep::can_attend_generated(element_type(type), head_dim);
}

at::Tensor DeviceOps::attend_generated(
    const Qkv& qkv, const GeneratedReads& reads, const Attended& prefix) const {
  const at::Tensor q = with_whole_rows(qkv.q);
  const bool are_alike = qkv.k.stride(0) == qkv.v.stride(0);
  const at::Tensor k = are_alike ? with_whole_rows(qkv.k) : qkv.k.contiguous();
  const at::Tensor v = are_alike ? with_whole_rows(qkv.v) : qkv.v.contiguous();
  const bool has_prefix = prefix.values.defined();
  const at::Tensor prefix_values = has_prefix ? prefix.values.contiguous() : at::Tensor();
  const at::Tensor prefix_log_sum = has_prefix ? with_whole_heads(prefix.log_sum) : at::Tensor();
  at::Tensor out = at::empty({q.size(0), q.size(1), q.size(2)}, q.options());
  require_begun(kernels_->attend_generated(
      element_type(q),
      {.q = q.const_data_ptr(),
       .k = k.const_data_ptr(),
       .v = v.const_data_ptr(),
       .q_row_stride = q.stride(0),
       .kv_row_stride = k.stride(0),
       .prompts_k = reads.prompts_k.const_data_ptr(),
       .prompts_v = reads.prompts_v.const_data_ptr(),
       .slots_k = reads.slots_k.data_ptr(),
       .slots_v = reads.slots_v.data_ptr(),
       .capacity = reads.slots_k.size(2),
       .order = reads.order.const_data_ptr<int32_t>(),
       .positions = reads.positions.const_data_ptr<int32_t>(),
       .prompt_lens = reads.prompt_lens.const_data_ptr<int32_t>(),
       .first_question = reads.first_question.const_data_ptr<int32_t>(),
       .num_question = reads.num_question.const_data_ptr<int32_t>(),
       .slots = reads.slots.const_data_ptr<int32_t>(),
       .prefix_values = data_or_null(prefix_values),
       .prefix_log_sum = has_prefix ? prefix_log_sum.const_data_ptr<float>() : nullptr,
       .prefix_log_sum_stride = has_prefix ? prefix_log_sum.stride(0) : 0,
       .out = out.data_ptr(),
       .rows = q.size(0),
       .heads = q.size(1),
       .kv_heads = k.size(1),
       .head_dim = q.size(2),
       .scale = score_scale(q.size(2))},
      stream_of(q)));
  return out;
}

LogitStates DeviceOps::scan_logits(const at::Tensor& logits, LogitsUse use) const {
  const int64_t rows = logits.size(0);
  LogitStates states{
      at::empty({rows}, logits.options()), at::empty({rows}, logits.options().dtype(at::kInt)), {}};
  const bool wants_total = use == LogitsUse::kTotal;
  if (wants_total) states.total = at::empty({rows}, logits.options().dtype(at::kDouble));
  require_begun(kernels_->scan_logits(
      {.logits = logits.const_data_ptr<float>(),
       .rows = rows,
       .ids = logits.size(1),
       .top = states.top.data_ptr<float>(),
       .top_id = states.top_id.data_ptr<int32_t>(),
       .total = wants_total ? states.total.data_ptr<double>() : nullptr},
      stream_of(logits)));
  return states;
}

}  // namespace prune_sweep
