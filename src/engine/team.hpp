/// \file
/// Tasks for all threads of the engine: each takes the next one when it is done with its last, so
/// that a slow core holds up nobody for longer than a task.
#pragma once

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace prune_sweep {

/// Hands out the numbers [0, size).
class TaskCounter {
 public:
  explicit TaskCounter(int64_t size) : size_(size) {}
  /// Whether there was one more; then it is in `task`.
  bool take(int64_t& task) {
    task = next_.fetch_add(1, std::memory_order_relaxed);
    return task < size_;
  }

 private:
  std::atomic<int64_t> next_{0};
  int64_t size_;
};

/// Calls `work`(counter) once in each of as many threads as are worth it; it takes tasks until
/// there are none. Results must not depend on who takes which. At least `grain` tasks are worth a
/// thread.
template <typename Work>
void share_tasks(int64_t num_tasks, int64_t grain, Work work) {
  TaskCounter counter(num_tasks);
  const int64_t threads =
      std::clamp<int64_t>(num_tasks / std::max<int64_t>(1, grain), 1, at::get_num_threads());
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    const c10::InferenceMode inference;  // parallel_for hands no thread-local state on
    work(counter);
  });
}

}  // namespace prune_sweep
