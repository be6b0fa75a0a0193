// One pass over rows of logits.

#include "engine/cuda/launch.cuh"

namespace prune_sweep {

namespace {

constexpr int kThreads = 512;

/// Logits that a thread loads before it looks at the first.
constexpr int kAtOnce = 8;

/// A block takes a row.
__global__ void __launch_bounds__(kThreads) scan_logits_kernel(LogitsTask task) {
  __shared__ elements::Logits of_thread[kThreads];
  const int64_t row = blockIdx.x;
  const float* logits = task.logits + row * task.ids;
  elements::LogitScan mine;
  for (int64_t base = threadIdx.x; base < task.ids; base += kThreads * kAtOnce) {
    float values[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int64_t id = base + i * kThreads;
      values[i] = id < task.ids ? logits[id] : -INFINITY;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      mine.add(values[i], static_cast<int32_t>(base + i * kThreads), task.total != nullptr);
    }
  }
  of_thread[threadIdx.x] = mine.result();
  __syncthreads();
  for (int step = kThreads / 2; step > 0; step /= 2) {
    if (threadIdx.x < step) of_thread[threadIdx.x].add(of_thread[threadIdx.x + step]);
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  task.top[row] = of_thread[0].top;
  task.top_id[row] = of_thread[0].top_id;
  if (task.total != nullptr) task.total[row] = of_thread[0].total;
}

}  // namespace

const char* kernels::scan_logits(const LogitsTask& task, void* stream) {
  if (task.rows == 0) return nullptr;
  queue_kernel(
      scan_logits_kernel, dim3(static_cast<unsigned>(task.rows)), kThreads, 0, stream, task);
  return launch_error();
}

}  // namespace prune_sweep
