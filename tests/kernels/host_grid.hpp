/// \file
/// What the kernels' sources ask of a CUDA compiler, for a C++ compiler: it comes before each of
/// them. A block's threads are fibers that run one after the other, each until it waits for others,
/// so that kernels of test_kernels are those of a GPU, under the compiler's sanitizers.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>

// Blocks come one after the other, so one place is enough for what their threads share. A block
// finds there what the one before left.
#define __shared__ static
#define __global__
#define __device__
#define __forceinline__ inline
// Whether a launch keeps to them is not looked at.
#define __launch_bounds__(threads)

struct dim3 {
  explicit dim3(unsigned x_count = 1, unsigned y_count = 1) : x(x_count), y(y_count) {}
  unsigned x;
  unsigned y;
};
inline dim3 gridDim;
inline dim3 blockDim;
inline dim3 blockIdx;
inline dim3 threadIdx;

namespace host_grid {

/// In which order blocks run, and the threads of a block between two places where they wait:
/// results that hang on it would be a race on a GPU.
enum class Order { kAscending, kDescending };

void set_order(Order order);

/// Calls `thread` once for every thread of every block. Throws std::logic_error when a GPU would
/// refuse the launch, and when threads wait for others that never come.
void run(dim3 blocks, unsigned threads, size_t shared_bytes, const std::function<void()>& thread);

/// Of the running block.
float* dynamic_shared();
void wait_for_block();
/// What the lane of the same warp whose number differs by `lane_mask` gives; all `lanes` of a warp
/// take part, with the same mask.
float exchange(unsigned lanes, float value, int lane_mask);

}  // namespace host_grid

inline void __syncthreads() { host_grid::wait_for_block(); }
inline float __shfl_xor_sync(unsigned lanes, float value, int lane_mask) {
  return host_grid::exchange(lanes, value, lane_mask);
}
inline float __expf(float x) { return std::exp(x); }
inline int min(int a, int b) { return a < b ? a : b; }

namespace prune_sweep {

inline float* dynamic_shared() { return host_grid::dynamic_shared(); }

template <typename Kernel, typename... Args>
void queue_kernel(
    Kernel kernel, dim3 blocks, int threads, size_t shared_bytes, void*, const Args&... args) {
  host_grid::run(blocks, static_cast<unsigned>(threads), shared_bytes, [&] { kernel(args...); });
}

/// Errors of a host are exceptions.
inline const char* launch_error() { return nullptr; }

}  // namespace prune_sweep
