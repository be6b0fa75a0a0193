#include "engine/kernels.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "engine/lanes.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;

template <typename T>
PRUNE_SWEEP_INLINE void rms_norm_rows(
    const T* x, const T* weight, T* out, int64_t rows, int64_t n, float eps) {
  for (int64_t row = 0; row < rows; ++row, x += n, out += n) {
    Lanes squares{};
    for (int64_t i = 0; i < n; i += kLanes) {
      const Lanes values = load(x + i, n - i);
      squares += values * values;
    }
    const float scale = 1.0F / std::sqrt(sum(squares) / static_cast<float>(n) + eps);
    for (int64_t i = 0; i < n; i += kLanes) {
      const Lanes unit = rounded_to<T>(load(x + i, n - i) * scale);
      store(out + i, unit * load(weight + i, n - i), n - i);
    }
  }
}
PRUNE_SWEEP_CLONES void rms_norm_of(
    const float* x, const float* weight, float* out, int64_t rows, int64_t n, float eps) {
  rms_norm_rows(x, weight, out, rows, n, eps);
}
PRUNE_SWEEP_CLONES void rms_norm_of(
    const BFloat16* x, const BFloat16* weight, BFloat16* out, int64_t rows, int64_t n, float eps) {
  rms_norm_rows(x, weight, out, rows, n, eps);
}

template <typename T>
PRUNE_SWEEP_INLINE void rotate_heads(
    const T* x, const T* cos, const T* sin, T* out, int64_t heads, int64_t half) {
  for (int64_t head = 0; head < heads; ++head, x += 2 * half, out += 2 * half) {
    for (int64_t i = 0; i < half; i += kLanes) {
      const int64_t count = half - i;
      const Lanes a = load(x + i, count);
      const Lanes b = load(x + half + i, count);
      const Lanes c = load(cos + i, count);
      const Lanes s = load(sin + i, count);
      store(out + i, rounded_to<T>(a * c) - rounded_to<T>(b * s), count);
      store(out + half + i, rounded_to<T>(b * c) + rounded_to<T>(a * s), count);
    }
  }
}
template <typename T>
PRUNE_SWEEP_INLINE void rotate_rows(
    const T* x, const T* cos, const T* sin, T* out, int64_t rows, int64_t heads, int64_t half) {
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t offset = row * heads * 2 * half;
    rotate_heads(x + offset, cos + row * half, sin + row * half, out + offset, heads, half);
  }
}
PRUNE_SWEEP_CLONES void rotate_of(
    const float* x,
    const float* cos,
    const float* sin,
    float* out,
    int64_t rows,
    int64_t heads,
    int64_t half) {
  rotate_rows(x, cos, sin, out, rows, heads, half);
}
PRUNE_SWEEP_CLONES void rotate_of(
    const BFloat16* x,
    const BFloat16* cos,
    const BFloat16* sin,
    BFloat16* out,
    int64_t rows,
    int64_t heads,
    int64_t half) {
  rotate_rows(x, cos, sin, out, rows, heads, half);
}

template <typename T>
PRUNE_SWEEP_INLINE void silu_mul_all(const T* gate, const T* up, T* out, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Lanes x = load(gate + i, n - i);
    const Lanes silu = rounded_to<T>(x / (1.0F + exp(-x)));
    store(out + i, silu * load(up + i, n - i), n - i);
  }
}
PRUNE_SWEEP_CLONES void silu_mul_of(const float* gate, const float* up, float* out, int64_t n) {
  silu_mul_all(gate, up, out, n);
}
PRUNE_SWEEP_CLONES void silu_mul_of(
    const BFloat16* gate, const BFloat16* up, BFloat16* out, int64_t n) {
  silu_mul_all(gate, up, out, n);
}

/// How many rows are worth a thread of their own.
int64_t grain(int64_t elements_per_row) {
  return std::max<int64_t>(1, at::internal::GRAIN_SIZE / elements_per_row);
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (!x.is_cpu()) return plain::rms_norm(x, weight, eps);
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty_like(in);
  const int64_t n = in.size(-1);
  with_element_type(in, [&](auto zero) {
    using T = decltype(zero);
    at::parallel_for(0, in.numel() / n, grain(n), [&](int64_t begin, int64_t end) {
      rms_norm_of(
          in.const_data_ptr<T>() + begin * n,
          weight.const_data_ptr<T>(),
          out.data_ptr<T>() + begin * n,
          end - begin,
          n,
          static_cast<float>(eps));
    });
  });
  return out;
}

at::Tensor rotate(const at::Tensor& x, const Rope& rope) {
  if (!x.is_cpu()) return plain::rotate(x, rope);
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty_like(in);
  const int64_t heads = in.size(1);
  const int64_t half = in.size(2) / 2;
  with_element_type(in, [&](auto zero) {
    using T = decltype(zero);
    at::parallel_for(0, in.size(0), grain(2 * heads * half), [&](int64_t begin, int64_t end) {
      rotate_of(
          in.const_data_ptr<T>() + begin * heads * 2 * half,
          rope.cos.const_data_ptr<T>() + begin * half,
          rope.sin.const_data_ptr<T>() + begin * half,
          out.data_ptr<T>() + begin * heads * 2 * half,
          end - begin,
          heads,
          half);
    });
  });
  return out;
}

at::Tensor silu_mul(const at::Tensor& gate, const at::Tensor& up) {
  if (!gate.is_cpu()) return plain::silu_mul(gate, up);
  at::Tensor out = at::empty_like(gate);
  const int64_t n = gate.size(-1);
  with_element_type(gate, [&](auto zero) {
    using T = decltype(zero);
    at::parallel_for(0, gate.size(0), grain(n), [&](int64_t begin, int64_t end) {
      silu_mul_of(
          gate.const_data_ptr<T>() + begin * n,
          up.const_data_ptr<T>() + begin * n,
          out.data_ptr<T>() + begin * n,
          (end - begin) * n);
    });
  });
  return out;
}

namespace plain {

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor mean_square = wide.square().mean(/*dim=*/-1, /*keepdim=*/true);
  return (wide * (mean_square + eps).rsqrt()).to(x.scalar_type()) * weight;
}

at::Tensor rotate(const at::Tensor& x, const Rope& rope) {
  const at::Tensor cos = at::cat({rope.cos, rope.cos}, -1).unsqueeze(1);  // [rows, 1, head_dim]
  const at::Tensor sin = at::cat({rope.sin, rope.sin}, -1).unsqueeze(1);
  const auto halves = x.chunk(2, -1);
  return x * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
}

at::Tensor silu_mul(const at::Tensor& gate, const at::Tensor& up) { return at::silu(gate) * up; }

}  // namespace plain

}  // namespace prune_sweep
