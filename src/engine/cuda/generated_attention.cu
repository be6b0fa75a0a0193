// Attention of tokens that are generated, each to keys and values of its own.

#include "engine/cuda/launch.cuh"

namespace prune_sweep {

namespace {

constexpr int kThreads = 128;
/// Keys whose loads are under way together, for each group of lanes.
constexpr int kAtOnce = 4;

/// Where the keys and values of one row and key head are: its question's, then those of its slot.
template <typename T>
struct Keys {
  __device__ Keys(const GeneratedTask& task, int64_t row, int64_t kv_head) {
    const int64_t width = task.kv_heads * task.head_dim;
    num_question = task.num_question[row];
    num_before = task.positions[row] - task.prompt_lens[row];
    const int64_t question = task.first_question[row] * width + kv_head * task.head_dim;
    question_k = static_cast<const T*>(task.prompts_k) + question;
    question_v = static_cast<const T*>(task.prompts_v) + question;
    question_step = static_cast<int>(width);
    const int64_t slot =
        (task.slots[row] * task.kv_heads + kv_head) * task.capacity * task.head_dim;
    slot_k = static_cast<T*>(task.slots_k) + slot;
    slot_v = static_cast<T*>(task.slots_v) + slot;
    slot_step = static_cast<int>(task.head_dim);
  }
  __device__ int count() const { return num_question + num_before + 1; }
  __device__ const T* k(int key) const {
    return key < num_question ? question_k + int64_t{key} * question_step
                              : slot_k + (key - num_question) * slot_step;
  }
  __device__ const T* v(int key) const {
    return key < num_question ? question_v + int64_t{key} * question_step
                              : slot_v + (key - num_question) * slot_step;
  }

  int num_question;
  int num_before;
  const T* question_k;
  const T* question_v;
  int question_step;
  T* slot_k;
  T* slot_v;
  int slot_step;
};

/// What a group of lanes has seen of its keys, for one query; a lane has kCount of the values.
template <int kCount>
struct Seen {
  float top = -INFINITY;
  float total = 0;
  float values[kCount] = {};

  /// More keys will follow whose largest score is `score`.
  __device__ void raise(float score) {
    if (!(score > top)) return;
    const float scale = top == -INFINITY ? 0.0F : __expf(top - score);
    total *= scale;
#pragma unroll
    for (float& value : values) value *= scale;
    top = score;
  }
};

/// A block takes kGroup queries that share a key head. Groups of kLanes lanes, each with one load
/// of a head, take keys in turn; what they have seen is put together in shared memory.
template <typename T, int kGroup, int kLanes>
__global__ void __launch_bounds__(kThreads) attend_generated_kernel(GeneratedTask task) {
  constexpr int kCount = kPack<T>;
  constexpr int takers = kThreads / kLanes;
  const int64_t kv_head = blockIdx.x % task.kv_heads;
  const int64_t row = task.order[blockIdx.x / task.kv_heads];
  const int64_t group = task.heads / task.kv_heads;
  const int64_t first_head = kv_head * group + static_cast<int64_t>(blockIdx.y) * kGroup;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int taker = static_cast<int>(threadIdx.x) / kLanes;
  const int64_t at = static_cast<int64_t>(lane) * kCount;  // of a head's elements

  const Keys<T> keys(task, row, kv_head);
  // The new token is stored first and then read like the others. Blocks of the same key head store
  // the same.
  if (taker < 2) {
    const auto* from = static_cast<const T*>(taker == 0 ? task.k : task.v);
    T* to = (taker == 0 ? keys.slot_k : keys.slot_v) + keys.num_before * keys.slot_step;
    const int64_t own = row * task.kv_row_stride + kv_head * task.head_dim;
    store_pack(to + at, load_pack<kCount>(from + own + at));
  }
  float q[kGroup][kCount];
#pragma unroll
  for (int g = 0; g < kGroup; ++g) {
    const T* from =
        static_cast<const T*>(task.q) + row * task.q_row_stride + (first_head + g) * task.head_dim;
    const auto pack = load_pack<kCount>(from + at);
#pragma unroll
    for (int j = 0; j < kCount; ++j) q[g][j] = pack.at(j) * task.scale;
  }
  __syncthreads();

  const int count = keys.count();
  Seen<kCount> seen[kGroup];
  // All takers go as often, because sums want all lanes of a warp; behind the last key they read it
  // again, for nothing.
  for (int base = taker; base - taker < count; base += takers * kAtOnce) {
    Pack<T, kCount> k[kAtOnce];
    Pack<T, kCount> v[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int key = min(base + i * takers, count - 1);
      k[i] = load_pack<kCount>(keys.k(key) + at);
      v[i] = load_pack<kCount>(keys.v(key) + at);
    }
    float scores[kAtOnce][kGroup];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
      for (int g = 0; g < kGroup; ++g) {
        scores[i][g] = 0;
#pragma unroll
        for (int j = 0; j < kCount; ++j) scores[i][g] += q[g][j] * k[i].at(j);
      }
    }
    // Step by step for all of them: none waits for the sum of another.
#pragma unroll
    for (int step = kLanes / 2; step > 0; step /= 2) {
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
        for (int g = 0; g < kGroup; ++g) {
          scores[i][g] += __shfl_xor_sync(~0U, scores[i][g], step);
        }
      }
    }
#pragma unroll
    for (int g = 0; g < kGroup; ++g) {
      float top = -INFINITY;
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (base + i * takers >= count) scores[i][g] = -INFINITY;
        top = scores[i][g] > top ? scores[i][g] : top;
      }
      seen[g].raise(top);
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const float power = scores[i][g] == -INFINITY ? 0.0F : __expf(scores[i][g] - seen[g].top);
        seen[g].total += power;
#pragma unroll
        for (int j = 0; j < kCount; ++j) seen[g].values[j] += power * v[i].at(j);
      }
    }
  }

  float* const values = dynamic_shared();                          // [takers][kGroup][head_dim]
  float* const tops = values + takers * kGroup * kLanes * kCount;  // [takers][kGroup]
  float* const totals = tops + takers * kGroup;                    // [takers][kGroup]
#pragma unroll
  for (int g = 0; g < kGroup; ++g) {
    float* const mine = values + (taker * kGroup + g) * task.head_dim + at;
#pragma unroll
    for (int j = 0; j < kCount; ++j) mine[j] = seen[g].values[j];
    if (lane == 0) {
      tops[taker * kGroup + g] = seen[g].top;
      totals[taker * kGroup + g] = seen[g].total;
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kGroup * task.head_dim; i += kThreads) {
    const int g = i / static_cast<int>(task.head_dim);
    const int d = i % static_cast<int>(task.head_dim);
    const int64_t head = first_head + g;
    const bool has_prefix = task.prefix_values != nullptr;
    const float prefix_log_sum =
        has_prefix ? task.prefix_log_sum[head * task.prefix_log_sum_stride + row] : -INFINITY;
    float top = prefix_log_sum;
    for (int t = 0; t < takers; ++t) top = fmaxf(top, tops[t * kGroup + g]);
    const int64_t out = (row * task.heads + head) * task.head_dim + d;
    float total = elements::power(prefix_log_sum, top);
    float sum = 0;
    if (has_prefix)
      sum = total * static_cast<float>(static_cast<const T*>(task.prefix_values)[out]);
    for (int t = 0; t < takers; ++t) {
      const float share = elements::power(tops[t * kGroup + g], top);
      total += totals[t * kGroup + g] * share;
      sum += values[(t * kGroup + g) * task.head_dim + d] * share;
    }
    static_cast<T*>(task.out)[out] = static_cast<T>(sum / total);
  }
}

template <typename T, int kGroup, int kLanes>
void launch(const GeneratedTask& task, void* stream) {
  constexpr size_t kTakers = kThreads / kLanes;
  constexpr size_t kSharedBytes = sizeof(float) * kTakers * kGroup * (kLanes * kPack<T> + 2);
  const dim3 blocks(
      static_cast<unsigned>(task.rows * task.kv_heads),
      static_cast<unsigned>(task.heads / task.kv_heads / kGroup));
  queue_kernel(
      attend_generated_kernel<T, kGroup, kLanes>, blocks, kThreads, kSharedBytes, stream, task);
}

template <typename T, int kGroup>
void launch(const GeneratedTask& task, int64_t lanes, void* stream) {
  switch (lanes) {
    case 4:
      return launch<T, kGroup, 4>(task, stream);
    case 8:
      return launch<T, kGroup, 8>(task, stream);
    case 16:
      return launch<T, kGroup, 16>(task, stream);
    default:
      return launch<T, kGroup, 32>(task, stream);
  }
}

}  // namespace

const char* kernels::attend_generated(ElementType type, const GeneratedTask& task, void* stream) {
  if (task.rows == 0) return nullptr;
  if (!can_attend_generated(type, task.head_dim)) return "heads of this size are not known";
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const int64_t group = task.heads / task.kv_heads;
    const int64_t lanes = task.head_dim / kPack<T>;
    if (group % 4 == 0) {
      launch<T, 4>(task, lanes, stream);
    } else if (group % 2 == 0) {
      launch<T, 2>(task, lanes, stream);
    } else {
      launch<T, 1>(task, lanes, stream);
    }
  });
  return launch_error();
}

}  // namespace prune_sweep
