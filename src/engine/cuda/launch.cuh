/// \file
/// What all kernels share: loads of 16 bytes, sums of warps, sizes of grids, launches and their
/// errors.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/cuda/element_type.hpp"
#include "engine/cuda/elements.hpp"
#include "engine/cuda/kernels.hpp"

namespace prune_sweep {

constexpr int kWarp = 32;

/// Elements that are loaded and stored together.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T values[kCount];

  __device__ float at(int i) const { return static_cast<float>(values[i]); }
  __device__ void set(int i, float value) { values[i] = static_cast<T>(value); }
};
template <typename T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

template <int kCount, typename T>
__device__ Pack<T, kCount> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, kCount>*>(from);
}
template <int kCount, typename T>
__device__ void store_pack(T* to, const Pack<T, kCount>& pack) {
  *reinterpret_cast<Pack<T, kCount>*>(to) = pack;
}

/// Over groups of `lanes` neighbours, a power of two; all of them get it.
__device__ inline float lanes_sum(float value, int lanes) {
  for (int step = lanes / 2; step > 0; step /= 2) value += __shfl_xor_sync(~0U, value, step);
  return value;
}

inline dim3 blocks_for(int64_t tasks, int64_t tasks_per_block) {
  constexpr int64_t kMaxBlocks = 1 << 20;
  return dim3(static_cast<unsigned>(
      std::clamp<int64_t>((tasks + tasks_per_block - 1) / tasks_per_block, 1, kMaxBlocks)));
}

// tests/kernels/host_grid.hpp has the same for a compiler without kernels.
#ifdef __CUDACC__

/// What a launch gives a block besides what its kernel declares.
__device__ inline float* dynamic_shared() {
  extern __shared__ float shared[];
  return shared;
}

/// `stream` is a cudaStream_t.
template <typename Kernel, typename... Args>
void queue_kernel(
    Kernel kernel,
    dim3 blocks,
    int threads,
    size_t shared_bytes,
    void* stream,
    const Args&... args) {
  kernel<<<blocks, threads, shared_bytes, static_cast<cudaStream_t>(stream)>>>(args...);
}

/// Of the launch before; this library's runtime is its own, so nobody else sees it.
inline const char* launch_error() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

#endif

/// For loads of 16 bytes; a null pointer, which nobody loads from, counts as aligned.
inline bool is_aligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}

}  // namespace prune_sweep
