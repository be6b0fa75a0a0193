/// \file
/// The table of kernels in loops on the host, of the same functions of single elements as those of
/// the device.
#pragma once

#include <vector>

#include "engine/cuda/element_type.hpp"
#include "engine/cuda/elements.hpp"
#include "engine/cuda/kernel_table.hpp"

namespace prune_sweep::host_kernels {

template <typename T>
float scale_of(const T* x, int64_t n, float eps) {
  float squares = 0;
  for (int64_t i = 0; i < n; ++i) squares += static_cast<float>(x[i]) * static_cast<float>(x[i]);
  return elements::inverse_rms(squares, static_cast<float>(n), eps);
}

inline const char* rms_norm(ElementType type, const NormTask& task, void*) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const auto* weights = static_cast<const T*>(task.weight);
    for (int64_t row = 0; row < task.rows; ++row) {
      T* from = static_cast<T*>(task.x) + row * task.n;
      T* to = static_cast<T*>(task.out) + row * task.n;
      const auto* added = static_cast<const T*>(task.added);
      for (int64_t i = 0; added != nullptr && i < task.n; ++i) {
        from[i] = T(static_cast<float>(from[i]) + static_cast<float>(added[row * task.n + i]));
      }
      const float scale = scale_of(from, task.n, task.eps);
      for (int64_t i = 0; i < task.n; ++i) {
        to[i] = T(elements::normed<T>(from[i], scale, weights[i]));
      }
    }
  });
  return nullptr;
}

inline const char* turn_heads(ElementType type, const TurnTask& task, void*) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    const int64_t half = task.head_dim / 2;
    const int64_t heads = task.q_heads + task.k_heads;
    for (int64_t index = 0; index < task.rows * heads; ++index) {
      const int64_t row = index / heads;
      const int64_t head = index % heads;
      const auto* weights = static_cast<const T*>(head < task.q_heads ? task.q_norm : task.k_norm);
      T* own = static_cast<T*>(task.x) + row * task.row_stride + head * task.head_dim;
      const float scale = weights != nullptr ? scale_of(own, task.head_dim, task.eps) : 1;
      for (int64_t i = 0; i < half; ++i) {
        elements::Pair pair{own[i], own[half + i]};
        if (weights != nullptr) {
          pair.first = elements::normed<T>(pair.first, scale, weights[i]);
          pair.second = elements::normed<T>(pair.second, scale, weights[half + i]);
        }
        const int64_t angle = row * half + i;
        pair = elements::rotated<T>(
            pair, static_cast<const T*>(task.cos)[angle], static_cast<const T*>(task.sin)[angle]);
        own[i] = T(pair.first);
        own[half + i] = T(pair.second);
      }
    }
  });
  return nullptr;
}

inline const char* silu_mul(ElementType type, const GateTask& task, void*) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t row = 0; row < task.rows; ++row) {
      const int64_t at = row * task.row_stride;
      for (int64_t i = 0; i < task.n; ++i) {
        static_cast<T*>(task.out)[row * task.n + i] = T(elements::silu_mul<T>(
            static_cast<const T*>(task.gate)[at + i], static_cast<const T*>(task.up)[at + i]));
      }
    }
  });
  return nullptr;
}

inline const char* merge(ElementType type, const MergeTask& task, void*) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t row = 0; row < task.rows; ++row) {
      for (int64_t head = 0; head < task.heads; ++head) {
        float& sum = task.log_sum[head * task.log_sum_stride + row];
        const float more = task.more_log_sum[head * task.more_log_sum_stride + row];
        const elements::Shares shares = elements::shares(sum, more);
        const int64_t at = (row * task.heads + head) * task.head_dim;
        for (int64_t i = at; i < at + task.head_dim; ++i) {
          T& value = static_cast<T*>(task.values)[i];
          value =
              T(static_cast<float>(value) * shares.first +
                static_cast<float>(static_cast<const T*>(task.more_values)[i]) * shares.second);
        }
        if (task.merges_log_sums) sum = elements::log_add(sum, more);
      }
    }
  });
  return nullptr;
}

/// One query: its keys one after the other, the prefix first.
template <typename T>
void attend_one(const GeneratedTask& task, int64_t row, int64_t head) {
  const int64_t kv_head = head / (task.heads / task.kv_heads);
  const int64_t num_question = task.num_question[row];
  const int64_t num_before = task.positions[row] - task.prompt_lens[row];
  const int64_t first_stored =
      (task.slots[row] * task.kv_heads + kv_head) * task.capacity * task.head_dim;
  const auto place = [&](const void* prompts, void* slots, int64_t key) {
    if (key < num_question) {
      const int64_t at = (task.first_question[row] + key) * task.kv_heads + kv_head;
      return static_cast<const T*>(prompts) + at * task.head_dim;
    }
    return static_cast<const T*>(
        static_cast<T*>(slots) + first_stored + (key - num_question) * task.head_dim);
  };
  const int64_t new_at = row * task.kv_row_stride + kv_head * task.head_dim;
  for (int64_t i = 0; i < task.head_dim; ++i) {
    const int64_t to = first_stored + num_before * task.head_dim + i;
    static_cast<T*>(task.slots_k)[to] = static_cast<const T*>(task.k)[new_at + i];
    static_cast<T*>(task.slots_v)[to] = static_cast<const T*>(task.v)[new_at + i];
  }
  const T* q = static_cast<const T*>(task.q) + row * task.q_row_stride + head * task.head_dim;
  const int64_t out = (row * task.heads + head) * task.head_dim;
  float top = -INFINITY;
  float total = 0;
  std::vector<float> values(static_cast<size_t>(task.head_dim), 0);
  if (task.prefix_values != nullptr) {
    top = task.prefix_log_sum[head * task.prefix_log_sum_stride + row];
    total = 1;
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(
          static_cast<const T*>(task.prefix_values)[out + static_cast<int64_t>(i)]);
    }
  }
  for (int64_t key = 0; key < num_question + num_before + 1; ++key) {
    const T* k = place(task.prompts_k, task.slots_k, key);
    const T* v = place(task.prompts_v, task.slots_v, key);
    float score = 0;
    for (int64_t i = 0; i < task.head_dim; ++i) {
      score += static_cast<float>(q[i]) * task.scale * static_cast<float>(k[i]);
    }
    const float before = top;
    top = score > top ? score : top;
    const float scale = elements::power(before, top);
    const float power = elements::power(score, top);
    total = total * scale + power;
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = values[i] * scale + power * static_cast<float>(v[i]);
    }
  }
  for (size_t i = 0; i < values.size(); ++i) {
    static_cast<T*>(task.out)[out + static_cast<int64_t>(i)] = T(values[i] / total);
  }
}

inline const char* attend_generated(ElementType type, const GeneratedTask& task, void*) {
  with_type(type, [&](auto zero) {
    for (int64_t i = 0; i < task.rows * task.heads; ++i) {
      attend_one<decltype(zero)>(task, task.order[i / task.heads], i % task.heads);
    }
  });
  return nullptr;
}

/// As a block does: threads look at every fourth logit, and what they know is added up.
inline const char* scan_logits(const LogitsTask& task, void*) {
  constexpr int64_t kThreads = 4;
  for (int64_t row = 0; row < task.rows; ++row) {
    elements::Logits all = elements::Logits::none();
    for (int64_t thread = 0; thread < kThreads; ++thread) {
      elements::LogitScan scan;
      for (int64_t id = thread; id < task.ids; id += kThreads) {
        scan.add(task.logits[row * task.ids + id], static_cast<int32_t>(id), task.total != nullptr);
      }
      all.add(scan.result());
    }
    task.top[row] = all.top;
    task.top_id[row] = all.top_id;
    if (task.total != nullptr) task.total[row] = all.total;
  }
  return nullptr;
}

inline const KernelTable* table() {
  static constexpr KernelTable kTable{
      KernelTable::kVersion,
      rms_norm,
      turn_heads,
      silu_mul,
      merge,
      attend_generated,
      scan_logits,
      nullptr};
  return &kTable;
}

}  // namespace prune_sweep::host_kernels
