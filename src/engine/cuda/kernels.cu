#include <algorithm>

#include "engine/cuda/element_type.hpp"
#include "engine/cuda/elements.hpp"
#include "engine/cuda/kernel_table.hpp"

namespace prune_sweep {

namespace {

constexpr int kWarp = 32;
constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 65535;

__device__ float warp_sum(float value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(~0U, value, step);
  return value;
}

/// Of all threads of a block of kThreads; every thread gets it.
__device__ float block_sum(float value) {
  __shared__ float of_warp[kThreads / kWarp];
  value = warp_sum(value);
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  float total = 0;
  for (int i = 0; i < kThreads / kWarp; ++i) total += of_warp[i];
  __syncthreads();
  return total;
}

template <typename T>
__global__ void rms_norm_kernel(
    const T* x, const T* weight, T* out, int64_t rows, int64_t n, float eps) {
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* from = x + row * n;
    float squares = 0;
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
      const float value = static_cast<float>(from[i]);
      squares += value * value;
    }
    const float scale = elements::inverse_rms(block_sum(squares), static_cast<float>(n), eps);
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
      const float value = static_cast<float>(from[i]);
      out[row * n + i] =
          static_cast<T>(elements::normed<T>(value, scale, static_cast<float>(weight[i])));
    }
  }
}

/// A warp takes a head.
template <typename T>
__global__ void norm_and_rotate_kernel(
    T* x,
    const T* weight,
    const T* cos,
    const T* sin,
    int64_t rows,
    int64_t heads,
    int64_t half,
    float eps) {
  const int lane = threadIdx.x % kWarp;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * (kThreads / kWarp);
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  for (int64_t head = first; head < rows * heads; head += warps) {
    T* own = x + head * 2 * half;
    float scale = 1;
    if (weight != nullptr) {
      float squares = 0;
      for (int64_t i = lane; i < 2 * half; i += kWarp) {
        const float value = static_cast<float>(own[i]);
        squares += value * value;
      }
      scale = elements::inverse_rms(warp_sum(squares), static_cast<float>(2 * half), eps);
    }
    const int64_t angles = head / heads * half;
    for (int64_t i = lane; i < half; i += kWarp) {
      elements::Pair pair{static_cast<float>(own[i]), static_cast<float>(own[half + i])};
      if (weight != nullptr) {
        pair.first = elements::normed<T>(pair.first, scale, static_cast<float>(weight[i]));
        pair.second = elements::normed<T>(pair.second, scale, static_cast<float>(weight[half + i]));
      }
      pair = elements::rotated<T>(
          pair, static_cast<float>(cos[angles + i]), static_cast<float>(sin[angles + i]));
      own[i] = static_cast<T>(pair.first);
      own[half + i] = static_cast<T>(pair.second);
    }
  }
}

template <typename T>
__global__ void silu_mul_kernel(const T* gate, const T* up, T* out, int64_t count) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += step) {
    out[i] = static_cast<T>(
        elements::silu_mul<T>(static_cast<float>(gate[i]), static_cast<float>(up[i])));
  }
}

template <typename T>
__global__ void merge_kernel(
    const T* values_a,
    const float* log_sum_a,
    const T* values_b,
    const float* log_sum_b,
    T* values,
    float* log_sum,
    int64_t rows,
    int64_t heads,
    int64_t head_dim) {
  const int64_t count = rows * heads * head_dim;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += step) {
    const int64_t head = i / head_dim % heads;
    const int64_t at = head * rows + i / (heads * head_dim);
    const float total = elements::log_add(log_sum_a[at], log_sum_b[at]);
    values[i] = static_cast<T>(elements::merged(
        static_cast<float>(values_a[i]),
        log_sum_a[at],
        static_cast<float>(values_b[i]),
        log_sum_b[at],
        total));
    if (i % head_dim == 0) log_sum[at] = total;
  }
}

int blocks_for(int64_t tasks, int64_t tasks_per_block) {
  return static_cast<int>(
      std::clamp<int64_t>((tasks + tasks_per_block - 1) / tasks_per_block, 1, kMaxBlocks));
}

/// Of the launch before; this library's runtime is its own, so nobody else sees it.
const char* launch_error() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

const char* rms_norm(
    ElementType type,
    const void* x,
    const void* weight,
    void* out,
    int64_t rows,
    int64_t n,
    float eps,
    void* stream) {
  if (rows == 0) return nullptr;
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    rms_norm_kernel<<<blocks_for(rows, 1), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
        static_cast<const T*>(x),
        static_cast<const T*>(weight),
        static_cast<T*>(out),
        rows,
        n,
        eps);
  });
  return launch_error();
}

const char* norm_and_rotate(
    ElementType type,
    void* x,
    const void* weight,
    const void* cos,
    const void* sin,
    int64_t rows,
    int64_t heads,
    int64_t head_dim,
    float eps,
    void* stream) {
  if (rows == 0) return nullptr;
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const int blocks = blocks_for(rows * heads, kThreads / kWarp);
    norm_and_rotate_kernel<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
        static_cast<T*>(x),
        static_cast<const T*>(weight),
        static_cast<const T*>(cos),
        static_cast<const T*>(sin),
        rows,
        heads,
        head_dim / 2,
        eps);
  });
  return launch_error();
}

const char* silu_mul(
    ElementType type, const void* gate, const void* up, void* out, int64_t count, void* stream) {
  if (count == 0) return nullptr;
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const int blocks = blocks_for(count, kThreads);
    silu_mul_kernel<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
        static_cast<const T*>(gate), static_cast<const T*>(up), static_cast<T*>(out), count);
  });
  return launch_error();
}

const char* merge(
    ElementType type,
    const void* values_a,
    const float* log_sum_a,
    const void* values_b,
    const float* log_sum_b,
    void* values,
    float* log_sum,
    int64_t rows,
    int64_t heads,
    int64_t head_dim,
    void* stream) {
  if (rows == 0) return nullptr;
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const int blocks = blocks_for(rows * heads * head_dim, kThreads);
    merge_kernel<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
        static_cast<const T*>(values_a),
        log_sum_a,
        static_cast<const T*>(values_b),
        log_sum_b,
        static_cast<T*>(values),
        log_sum,
        rows,
        heads,
        head_dim);
  });
  return launch_error();
}

constexpr KernelTable kTable{KernelTable::kVersion, rms_norm, norm_and_rotate, silu_mul, merge};

}  // namespace

}  // namespace prune_sweep

extern "C" __attribute__((visibility("default"))) const prune_sweep::KernelTable*
prune_sweep_kernel_table() {
  return &prune_sweep::kTable;
}
