#include "evaluator/kept_memory.hpp"

#include <c10/core/CPUAllocator.h>
#include <c10/core/alignment.h>
#include <malloc.h>

#include <cstdint>
#include <cstdlib>

namespace prune_sweep {

namespace {

/// Tensors aligned as libtorch aligns them, but in memory of malloc() and here. posix_memalign() of
/// glibc before 2.38 takes a freed place only if there is more room than it needs: when something
/// small has taken what was left behind a tensor, a new place is made for every later one of its
/// size.
class TensorMemory final : public c10::Allocator {
 public:
  at::DataPtr allocate(size_t num_bytes) override {
    const at::Device cpu(at::kCPU);
    if (num_bytes == 0) return {nullptr, cpu};
    void* const memory = std::malloc(num_bytes + sizeof(void*) + c10::gAlignment - 1);
    TORCH_CHECK_WITH(
        OutOfMemoryError, memory != nullptr, "no memory for a tensor of ", num_bytes, " bytes");
    const uintptr_t behind = reinterpret_cast<uintptr_t>(memory) + sizeof(void*);
    const uintptr_t aligned = (behind + c10::gAlignment - 1) / c10::gAlignment * c10::gAlignment;
    void** const data = reinterpret_cast<void**>(aligned);
    data[-1] = memory;
    return {data, data, &free_data, cpu};
  }
  at::DeleterFnPtr raw_deleter() const override { return &free_data; }
  void copy_data(void* to, const void* from, size_t num_bytes) const override {
    default_copy_data(to, from, num_bytes);
  }

 private:
  /// What malloc() gave stands before the data.
  static void free_data(void* data) {
    if (data != nullptr) std::free(static_cast<void**>(data)[-1]);
  }
};

}  // namespace

void keep_memory() {
  constexpr int kMost = 1 << 30;
  ::mallopt(M_MMAP_THRESHOLD, kMost);
  ::mallopt(M_TRIM_THRESHOLD, kMost);
  static TensorMemory memory;
  c10::SetCPUAllocator(&memory, /*priority=*/1);
}

}  // namespace prune_sweep
