#include "engine/kernels.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "engine/kernel_loops.hpp"
#include "engine/lanes.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;

/// 1 / rms of a row.
template <typename T>
PRUNE_SWEEP_INLINE float norm_of(const T* x, int64_t n, float eps) {
  Lanes squares{};
  for (int64_t i = 0; i < n; i += kLanes) {
    const Lanes values = load(x + i, n - i);
    squares += values * values;
  }
  return 1.0F / std::sqrt(sum(squares) / static_cast<float>(n) + eps);
}

/// Lanes from x[i] on times the row's norm and weight.
template <typename T>
PRUNE_SWEEP_INLINE Lanes
normed_lanes(const T* x, const T* weight, float norm, int64_t i, int64_t count) {
  return rounded_to<T>(load(x + i, count) * norm) * load(weight + i, count);
}

template <typename T>
PRUNE_SWEEP_INLINE void norm_rows(
    const T* x, const T* weight, T* out, int64_t rows, int64_t n, float eps) {
  for (int64_t row = 0; row < rows; ++row, x += n, out += n) {
    const float norm = norm_of(x, n, eps);
    for (int64_t i = 0; i < n; i += kLanes) {
      store(out + i, normed_lanes(x, weight, norm, i, n - i), n - i);
    }
  }
}

/// In place: a head after its norm, if `weight` is one, then turned.
template <typename T>
PRUNE_SWEEP_INLINE void norm_and_rotate_head(
    T* x, const T* weight, float eps, const T* cos, const T* sin, int64_t half) {
  const float norm = weight != nullptr ? norm_of(x, 2 * half, eps) : 1.0F;
  for (int64_t i = 0; i < half; i += kLanes) {
    const int64_t count = half - i;
    const auto lanes = [&](int64_t at) PRUNE_SWEEP_INLINE_LAMBDA {
      if (weight == nullptr) return load(x + at, count);
      return rounded_to<T>(normed_lanes(x, weight, norm, at, count));
    };
    const Lanes a = lanes(i);
    const Lanes b = lanes(half + i);
    const Lanes c = load(cos + i, count);
    const Lanes s = load(sin + i, count);
    store(x + i, rounded_to<T>(a * c) - rounded_to<T>(b * s), count);
    store(x + half + i, rounded_to<T>(b * c) + rounded_to<T>(a * s), count);
  }
}

template <typename T>
PRUNE_SWEEP_INLINE void norm_and_rotate_heads(
    T* x,
    const T* weight,
    float eps,
    const T* cos,
    const T* sin,
    int64_t rows,
    int64_t heads,
    int64_t half) {
  for (int64_t row = 0; row < rows; ++row, cos += half, sin += half) {
    for (int64_t head = 0; head < heads; ++head, x += 2 * half) {
      norm_and_rotate_head(x, weight, eps, cos, sin, half);
    }
  }
}
PRUNE_SWEEP_CLONES void norm_and_rotate_rows(
    float* x,
    const float* weight,
    float eps,
    const float* cos,
    const float* sin,
    int64_t rows,
    int64_t heads,
    int64_t half) {
  norm_and_rotate_heads(x, weight, eps, cos, sin, rows, heads, half);
}
PRUNE_SWEEP_CLONES void norm_and_rotate_rows(
    BFloat16* x,
    const BFloat16* weight,
    float eps,
    const BFloat16* cos,
    const BFloat16* sin,
    int64_t rows,
    int64_t heads,
    int64_t half) {
  norm_and_rotate_heads(x, weight, eps, cos, sin, rows, heads, half);
}

/// How many rows are worth a thread of their own.
int64_t grain(int64_t elements_per_row) {
  return std::max<int64_t>(1, at::internal::GRAIN_SIZE / elements_per_row);
}

}  // namespace

PRUNE_SWEEP_CLONES void rms_norm_rows(
    const float* x, const float* weight, float* out, int64_t rows, int64_t n, float eps) {
  norm_rows(x, weight, out, rows, n, eps);
}
PRUNE_SWEEP_CLONES void rms_norm_rows(
    const BFloat16* x, const BFloat16* weight, BFloat16* out, int64_t rows, int64_t n, float eps) {
  norm_rows(x, weight, out, rows, n, eps);
}

PRUNE_SWEEP_CLONES void round_to(const float* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; i += kLanes) store(to + i, load(from + i, count - i), count - i);
}
PRUNE_SWEEP_CLONES void round_to(const float* from, int64_t count, BFloat16* to) {
  for (int64_t i = 0; i < count; i += kLanes) store(to + i, load(from + i, count - i), count - i);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty_like(in);
  const int64_t n = in.size(-1);
  with_element_type(in, [&](auto zero) {
    using T = decltype(zero);
    at::parallel_for(0, in.numel() / n, grain(n), [&](int64_t begin, int64_t end) {
      rms_norm_rows(
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

void norm_and_rotate(const at::Tensor& x, const HeadTurn& turn) {
  const auto& [norm, rope] = turn;
  const int64_t heads = x.size(1);
  const int64_t head_dim = x.size(2);
  with_element_type(x, [&](auto zero) {
    using T = decltype(zero);
    at::parallel_for(0, x.size(0), grain(heads * head_dim), [&](int64_t begin, int64_t end) {
      norm_and_rotate_rows(
          x.data_ptr<T>() + begin * heads * head_dim,
          norm.weight.defined() ? norm.weight.const_data_ptr<T>() : nullptr,
          static_cast<float>(norm.eps),
          rope.cos.const_data_ptr<T>() + begin * head_dim / 2,
          rope.sin.const_data_ptr<T>() + begin * head_dim / 2,
          end - begin,
          heads,
          head_dim / 2);
    });
  });
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
