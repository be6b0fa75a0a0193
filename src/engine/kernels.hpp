/// \file
/// What stands between the matrix products of a decoder layer. Values are rounded where Hugging
/// Face's implementation rounds. By loops of our own on the CPU, and by plain operations for any
/// device.
#pragma once

#include <ATen/core/Tensor.h>

namespace prune_sweep {

/// Cosine and sine of every row's RoPE angles.
struct Rope {
  at::Tensor cos;  // [rows, head_dim / 2]
  at::Tensor sin;  // [rows, head_dim / 2]
};

/// RMSNorm that stands before something else; an undefined weight means none.
struct RowNorm {
  at::Tensor weight;  // [width]
  double eps = 0;
};

/// RMSNorm over the last dimension: the mean square in float32, x / rms rounded to x's type, then
/// times `weight`.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);  // [..., n], [n]

/// What is done to every head of queries and keys.
struct HeadTurn {
  RowNorm norm;
  Rope rope;  // [rows]
};

/// In place: every head after `norm`, then turned by its row's angles: rotary position embedding
/// (arXiv 2104.09864) in the half-rotation form. `x` is contiguous.
void norm_and_rotate(const at::Tensor& x, const HeadTurn& turn);  // [rows, heads, head_dim]

/// The same in plain ATen operations, for any device; the yardstick of the tests.
namespace plain {
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
at::Tensor rotate(const at::Tensor& x, const Rope& rope);  // [rows, heads, head_dim]
/// SiLU(gate) * up.
at::Tensor silu_mul(const at::Tensor& gate, const at::Tensor& up);
}  // namespace plain

}  // namespace prune_sweep
