/// \file
/// What stands between matrix products, on any device: by the kernels of a library where there are
/// some, by libtorch's operations otherwise.
#pragma once

#include <ATen/core/Tensor.h>

#include "engine/cuda/kernel_table.hpp"
#include "engine/kernels.hpp"
#include "engine/lm_head.hpp"
#include "engine/plain/varlen_attention.hpp"
#include "engine/unit_kv.hpp"

namespace prune_sweep {

/// What is done to the heads of queries and keys that lie side by side.
struct HeadTurns {
  int64_t q_heads = 0;  ///< of the heads, the first ones; the others are of keys
  RowNorm q_norm;
  RowNorm k_norm;
  Rope rope;  // [rows]
};

/// What tokens that are generated read of their own, and where they are stored. All numbers are
/// int32 on the device.
struct GeneratedReads {
  at::Tensor prompts_k;  // [any, kv_heads, head_dim]
  at::Tensor prompts_v;
  at::Tensor slots_k;  // [slots, kv_heads, capacity, head_dim]
  at::Tensor slots_v;
  at::Tensor order;           // [rows]: in which rows are begun
  at::Tensor positions;       // [rows]
  at::Tensor prompt_lens;     // [rows]
  at::Tensor first_question;  // [rows]: row of prompts_k
  at::Tensor num_question;    // [rows]
  at::Tensor slots;           // [rows]
};

/// What is known of rows of logits.
struct LogitStates {
  at::Tensor top;     // [rows], float32: the largest number
  at::Tensor top_id;  // [rows], int32: the lowest that has it; -1 where no logit is a number
  at::Tensor total;   // [rows], float64: of e^(logit - top); NaN when a logit is none; or undefined
};

/// Values are rounded in the same places either way. All throw Error (kInternal) when a kernel
/// cannot be begun.
class DeviceOps {
 public:
  /// `kernels` may be null; tensors are where they work.
  explicit DeviceOps(const KernelTable* kernels = nullptr) : kernels_(kernels) {}

  const KernelTable* kernels() const { return kernels_; }

  at::Tensor rms_norm(const at::Tensor& x, const RowNorm& norm) const;  // [rows, n]
  /// x += added; returns RMSNorm of that.
  at::Tensor add_and_norm(at::Tensor x, const at::Tensor& added, const RowNorm& norm) const;
  /// In place; rows may lie apart.
  void turn_heads(at::Tensor x, const HeadTurns& turns) const;  // [rows, heads, head_dim]
  /// SiLU(gate) * up; rows may lie apart.
  at::Tensor silu_mul(const at::Tensor& gate, const at::Tensor& up) const;
  /// In place: attention to some keys becomes attention to these and `more`, of the same queries
  /// (arXiv 2402.05099, section 3.1).
  void merge(Attended& attended, const Attended& more, LogSums sums) const;

  /// Whether attend_generated() can be called with such heads.
  bool can_attend_generated(at::ScalarType type, int64_t head_dim) const;
  /// Stores the new keys and values and attends: => [rows, heads, head_dim]. `prefix` may be
  /// undefined.
  at::Tensor attend_generated(
      const Qkv& qkv, const GeneratedReads& reads, const Attended& prefix) const;

  /// Whether scan_logits() can be called.
  bool can_scan_logits() const { return kernels_ != nullptr; }
  LogitStates scan_logits(const at::Tensor& logits, LogitsUse use) const;  // [rows, ids], float32

 private:
  /// Of contiguous rows, which change where `added` is defined.
  at::Tensor norm_by_kernel(
      const at::Tensor& x, const at::Tensor& added, const RowNorm& norm) const;

  const KernelTable* kernels_;
};

}  // namespace prune_sweep
