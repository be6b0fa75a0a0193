// What is done to rows between products: norms, turns, gates, merges.

#include "engine/cuda/launch.cuh"

namespace prune_sweep {

namespace {

constexpr int kThreads = 128;

/// Of all threads of a block of kThreads; every thread gets it.
__device__ float block_sum(float value) {
  __shared__ float of_warp[kThreads / kWarp];
  value = lanes_sum(value, kWarp);
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  float total = 0;
  for (int i = 0; i < kThreads / kWarp; ++i) total += of_warp[i];
  __syncthreads();
  return total;
}

/// A block takes a row.
template <typename T, int kCount>
__global__ void rms_norm_kernel(NormTask task) {
  const auto* weight = static_cast<const T*>(task.weight);
  for (int64_t row = blockIdx.x; row < task.rows; row += gridDim.x) {
    T* from = static_cast<T*>(task.x) + row * task.n;
    T* to = static_cast<T*>(task.out) + row * task.n;
    float squares = 0;
    for (int64_t i = threadIdx.x * kCount; i < task.n; i += kThreads * kCount) {
      auto x = load_pack<kCount>(from + i);
      if (task.added != nullptr) {
        const auto added = load_pack<kCount>(static_cast<const T*>(task.added) + row * task.n + i);
        for (int j = 0; j < kCount; ++j) x.set(j, x.at(j) + added.at(j));
        store_pack(from + i, x);
      }
      for (int j = 0; j < kCount; ++j) squares += x.at(j) * x.at(j);
    }
    const float scale =
        elements::inverse_rms(block_sum(squares), static_cast<float>(task.n), task.eps);
    for (int64_t i = threadIdx.x * kCount; i < task.n; i += kThreads * kCount) {
      const auto x = load_pack<kCount>(from + i);
      const auto w = load_pack<kCount>(weight + i);
      Pack<T, kCount> out;
      for (int j = 0; j < kCount; ++j) out.set(j, elements::normed<T>(x.at(j), scale, w.at(j)));
      store_pack(to + i, out);
    }
  }
}

/// A block takes a row, `lanes` lanes of it a head, each kCount pairs at a time.
template <typename T, int kCount>
__global__ void turn_kernel(TurnTask task, int lanes) {
  const auto head_dim = static_cast<int>(task.head_dim);
  const int half = head_dim / 2;
  const auto heads = static_cast<int>(task.q_heads + task.k_heads);
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const auto at_once = static_cast<int>(blockDim.x) / lanes;
  const T* cos = static_cast<const T*>(task.cos) + blockIdx.x * static_cast<int64_t>(half);
  const T* sin = static_cast<const T*>(task.sin) + blockIdx.x * static_cast<int64_t>(half);
  T* row = static_cast<T*>(task.x) + blockIdx.x * task.row_stride;

  for (int first = 0; first < heads; first += at_once) {
    const int head = first + static_cast<int>(threadIdx.x) / lanes;
    // Lanes without a head go along with the others, because sums want all of a warp.
    const int end = head < heads ? half : 0;
    const auto* weight = static_cast<const T*>(head < task.q_heads ? task.q_norm : task.k_norm);
    T* own = row + head * head_dim;
    float squares = 0;
    for (int i = lane * kCount; i < end; i += lanes * kCount) {
      const auto a = load_pack<kCount>(own + i);
      const auto b = load_pack<kCount>(own + half + i);
      for (int j = 0; j < kCount; ++j) squares += a.at(j) * a.at(j) + b.at(j) * b.at(j);
    }
    const float scale = elements::inverse_rms(
        lanes_sum(squares, lanes), static_cast<float>(task.head_dim), task.eps);
    for (int i = lane * kCount; i < end; i += lanes * kCount) {
      auto a = load_pack<kCount>(own + i);
      auto b = load_pack<kCount>(own + half + i);
      const auto c = load_pack<kCount>(cos + i);
      const auto s = load_pack<kCount>(sin + i);
      if (weight != nullptr) {
        const auto of_a = load_pack<kCount>(weight + i);
        const auto of_b = load_pack<kCount>(weight + half + i);
        for (int j = 0; j < kCount; ++j) {
          a.set(j, elements::normed<T>(a.at(j), scale, of_a.at(j)));
          b.set(j, elements::normed<T>(b.at(j), scale, of_b.at(j)));
        }
      }
      for (int j = 0; j < kCount; ++j) {
        const elements::Pair turned = elements::rotated<T>({a.at(j), b.at(j)}, c.at(j), s.at(j));
        a.set(j, turned.first);
        b.set(j, turned.second);
      }
      store_pack(own + i, a);
      store_pack(own + half + i, b);
    }
  }
}

template <typename T, int kCount>
__global__ void silu_mul_kernel(GateTask task) {
  const int64_t packs = task.n / kCount;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = index; i < task.rows * packs; i += step) {
    const int64_t row = i / packs;
    const int64_t at = row * task.row_stride + i % packs * kCount;
    const auto gate = load_pack<kCount>(static_cast<const T*>(task.gate) + at);
    const auto up = load_pack<kCount>(static_cast<const T*>(task.up) + at);
    Pack<T, kCount> out;
    for (int j = 0; j < kCount; ++j) out.set(j, elements::silu_mul<T>(gate.at(j), up.at(j)));
    store_pack(static_cast<T*>(task.out) + i * kCount, out);
  }
}

template <typename T, int kCount>
__global__ void merge_kernel(MergeTask task) {
  const int64_t packs = task.head_dim / kCount;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = index; i < task.rows * task.heads * packs; i += step) {
    const int64_t head = i / packs % task.heads;
    const int64_t row = i / packs / task.heads;
    const float a_sum = task.log_sum[head * task.log_sum_stride + row];
    const float b_sum = task.more_log_sum[head * task.more_log_sum_stride + row];
    const elements::Shares shares = elements::shares(a_sum, b_sum);
    T* to = static_cast<T*>(task.values) + i * kCount;
    auto a = load_pack<kCount>(static_cast<const T*>(to));
    const auto b = load_pack<kCount>(static_cast<const T*>(task.more_values) + i * kCount);
    for (int j = 0; j < kCount; ++j) a.set(j, a.at(j) * shares.first + b.at(j) * shares.second);
    store_pack(to, a);
  }
}

/// After the values, which need what it replaces.
__global__ void merge_sums_kernel(MergeTask task) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
       i < task.rows * task.heads;
       i += step) {
    const int64_t head = i / task.rows;
    const int64_t row = i % task.rows;
    float& sum = task.log_sum[head * task.log_sum_stride + row];
    sum = elements::log_add(sum, task.more_log_sum[head * task.more_log_sum_stride + row]);
  }
}

/// Calls f(T, count): with packs of 16 bytes where rows of `n` elements are whole ones and begin
/// with one, else with single elements.
template <typename F>
void with_packs(ElementType type, int64_t n, bool are_aligned, F f) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    if (are_aligned && n % kPack<T> == 0) {
      f(zero, std::integral_constant<int, kPack<T>>{});
    } else {
      f(zero, std::integral_constant<int, 1>{});
    }
  });
}

}  // namespace

namespace kernels {

const char* rms_norm(ElementType type, const NormTask& task, void* stream) {
  if (task.rows == 0) return nullptr;
  const bool are_aligned = is_aligned(task.x) && is_aligned(task.added) &&
                           is_aligned(task.weight) && is_aligned(task.out);
  with_packs(type, task.n, are_aligned, [&](auto zero, auto count) {
    const auto kernel = rms_norm_kernel<decltype(zero), count.value>;
    queue_kernel(kernel, blocks_for(task.rows, 1), kThreads, 0, stream, task);
  });
  return launch_error();
}

const char* turn_heads(ElementType type, const TurnTask& task, void* stream) {
  const int64_t heads = task.q_heads + task.k_heads;
  if (task.rows * heads == 0) return nullptr;
  const int64_t half = task.head_dim / 2;
  const bool are_aligned = is_aligned(task.x) && is_aligned(task.cos) && is_aligned(task.sin) &&
                           is_aligned(task.q_norm) && is_aligned(task.k_norm) &&
                           task.row_stride % 8 == 0;
  with_packs(type, half, are_aligned, [&](auto zero, auto count) {
    int lanes = 1;
    while (lanes < kWarp && lanes * count.value < half) lanes *= 2;
    // Whole warps, so that all heads are taken at once where there is room.
    const int64_t wanted = (heads * lanes + kWarp - 1) / kWarp * kWarp;
    const auto threads = static_cast<int>(std::min<int64_t>(wanted, 2 * kThreads));
    const auto kernel = turn_kernel<decltype(zero), count.value>;
    const dim3 blocks(static_cast<unsigned>(task.rows));
    queue_kernel(kernel, blocks, threads, 0, stream, task, lanes);
  });
  return launch_error();
}

const char* silu_mul(ElementType type, const GateTask& task, void* stream) {
  if (task.rows * task.n == 0) return nullptr;
  const bool are_aligned = is_aligned(task.gate) && is_aligned(task.up) && is_aligned(task.out) &&
                           task.row_stride % 8 == 0;
  with_packs(type, task.n, are_aligned, [&](auto zero, auto count) {
    const int64_t packs = task.rows * task.n / count.value;
    const auto kernel = silu_mul_kernel<decltype(zero), count.value>;
    queue_kernel(kernel, blocks_for(packs, kThreads), kThreads, 0, stream, task);
  });
  return launch_error();
}

const char* merge(ElementType type, const MergeTask& task, void* stream) {
  const int64_t heads = task.rows * task.heads;
  if (heads == 0) return nullptr;
  const bool are_aligned = is_aligned(task.values) && is_aligned(task.more_values);
  with_packs(type, task.head_dim, are_aligned, [&](auto zero, auto count) {
    const int64_t packs = heads * task.head_dim / count.value;
    const auto kernel = merge_kernel<decltype(zero), count.value>;
    queue_kernel(kernel, blocks_for(packs, kThreads), kThreads, 0, stream, task);
    if (!task.merges_log_sums) return;
    queue_kernel(merge_sums_kernel, blocks_for(heads, kThreads), kThreads, 0, stream, task);
  });
  return launch_error();
}

}  // namespace kernels

}  // namespace prune_sweep
