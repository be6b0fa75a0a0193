/// \file
/// The kernels of a library of their own, which is loaded where there is a device, as plain
/// functions of tasks. Tensors are on the device, and contiguous where no stride is given; a call
/// returns before the work is done, in the order of its stream. It returns null, or why the work
/// could not be begun.
#pragma once

#include <cstdint>

namespace prune_sweep {

enum class ElementType : int32_t { kBfloat16, kFloat16, kFloat32 };

/// x += added, where there is one; then out = x / rms(x) * weight, row by row.
struct NormTask {
  void* x;             // [rows, n]
  const void* added;   // [rows, n], or null
  const void* weight;  // [n]
  void* out;           // [rows, n]
  int64_t rows;
  int64_t n;
  float eps;
};

/// In place: every head after RMSNorm, unless its weight is null, then turned by its row's angles.
struct TurnTask {
  void* x;             // [rows, q_heads + k_heads, head_dim]
  int64_t row_stride;  ///< elements from row to row of x
  const void* q_norm;  // [head_dim]
  const void* k_norm;  // [head_dim]
  const void* cos;     // [rows, head_dim / 2]
  const void* sin;     // [rows, head_dim / 2]
  int64_t rows;
  int64_t q_heads;
  int64_t k_heads;
  int64_t head_dim;
  float eps;
};

/// out = SiLU(gate) * up.
struct GateTask {
  const void* gate;    // [rows, n]
  const void* up;      // [rows, n]
  int64_t row_stride;  ///< elements from row to row of gate and of up
  void* out;           // [rows, n]
  int64_t rows;
  int64_t n;
};

/// In place: attention to some keys becomes attention to these and others. A query without keys has
/// an infinite sum of either sign.
struct MergeTask {
  void* values;             // [rows, heads, head_dim]
  float* log_sum;           // [heads, rows]
  int64_t log_sum_stride;   ///< from head to head
  const void* more_values;  // [rows, heads, head_dim]
  const float* more_log_sum;
  int64_t more_log_sum_stride;
  int64_t rows;
  int64_t heads;
  int64_t head_dim;
  bool merges_log_sums;
};

/// Attention of one new token a row to its question, to what was generated before it, and to
/// itself, merged with attention to a prefix; the new keys and values are stored. A row's slot
/// holds tokens from the end of its prompt on.
struct GeneratedTask {
  const void* q;          // [rows, heads, head_dim]
  const void* k;          // [rows, kv_heads, head_dim]
  const void* v;          // the same
  int64_t q_row_stride;   ///< elements from row to row of q
  int64_t kv_row_stride;  ///< of k and of v
  const void* prompts_k;  // [any, kv_heads, head_dim]
  const void* prompts_v;
  void* slots_k;  // [slots, kv_heads, capacity, head_dim]
  void* slots_v;
  int64_t capacity;
  const int32_t* order;           // [rows]: in which rows are begun
  const int32_t* positions;       // [rows]: of the new tokens
  const int32_t* prompt_lens;     // [rows]
  const int32_t* first_question;  // [rows]: row of prompts_k
  const int32_t* num_question;    // [rows]
  const int32_t* slots;           // [rows]
  const void* prefix_values;      // [rows, heads, head_dim], or null
  const float* prefix_log_sum;    // [heads, rows]
  int64_t prefix_log_sum_stride;  ///< from head to head
  void* out;                      // [rows, heads, head_dim]
  int64_t rows;
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  float scale;
};

/// What is known of rows of logits: the largest number, its lowest id, and the sum of e^(logit -
/// top), which is NaN when a logit is none. Without a number the top is minus infinity, its id -1.
struct LogitsTask {
  const float* logits;  // [rows, ids]
  int64_t rows;
  int64_t ids;
  float* top;       // [rows]
  int32_t* top_id;  // [rows]
  double* total;    // [rows], or null where it is not wanted
};

/// Records what is queued in the current stream. One graph exists at a time.
struct GraphTable {
  /// Both throw what libtorch throws.
  void* (*begin)();
  void (*end)(void* graph);
  /// After end() threw, or what was to be queued before it; removes the graph.
  void (*abandon)(void* graph);
  /// Queues what was recorded. Throws what libtorch throws.
  void (*run)(void* graph);
  /// Waits until it has run.
  void (*remove)(void* graph);
};

struct KernelTable {
  static constexpr int32_t kVersion = 5;
  int32_t version;

  const char* (*rms_norm)(ElementType type, const NormTask& task, void* stream);
  const char* (*turn_heads)(ElementType type, const TurnTask& task, void* stream);
  const char* (*silu_mul)(ElementType type, const GateTask& task, void* stream);
  const char* (*merge)(ElementType type, const MergeTask& task, void* stream);
  /// See can_attend_generated().
  const char* (*attend_generated)(ElementType type, const GeneratedTask& task, void* stream);
  const char* (*scan_logits)(const LogitsTask& task, void* stream);

  const GraphTable* graphs;  ///< null on a host
};

/// Whether the kernel of GeneratedTask is made for such heads: whole loads of 16 bytes, four,
/// eight, 16 or 32 of them.
inline bool can_attend_generated(ElementType type, int64_t head_dim) {
  const int64_t loads = head_dim / (type == ElementType::kFloat32 ? 4 : 8);
  const bool is_whole = loads * (type == ElementType::kFloat32 ? 4 : 8) == head_dim;
  return is_whole && (loads == 4 || loads == 8 || loads == 16 || loads == 32);
}

}  // namespace prune_sweep

/// What the library exports.
extern "C" const prune_sweep::KernelTable* prune_sweep_kernel_table();
