// Memory of tensors that come and go beside what stays.

#include "evaluator/kept_memory.hpp"

#include <ATen/ATen.h>
#include <malloc.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "catch.hpp"

using namespace prune_sweep;

TEST_CASE("tensors take the place of earlier ones of their size, whatever stays behind these") {
  keep_memory();
  constexpr int64_t kBytes = 10'000'000;
  std::vector<std::unique_ptr<char[]>> small;
  size_t before = 0;
  for (int round = 0; round < 100; ++round) {
    const at::Tensor large = at::empty({kBytes}, at::kByte);
    const at::Tensor empty = at::empty({0}, at::kByte);
    CHECK(reinterpret_cast<uintptr_t>(large.data_ptr()) % 64 == 0);
    CHECK(empty.data_ptr() == nullptr);
    for (size_t size = 8; size <= 96; size += 8) small.push_back(std::make_unique<char[]>(size));
    // The first rounds find their places.
    if (round == 10) before = ::mallinfo2().arena;
  }
  CHECK(::mallinfo2().arena - before < size_t{2} * kBytes);
}

TEST_CASE("tensors for which there is no memory are refused as such") {
  keep_memory();
  CHECK_THROWS_AS(at::empty({int64_t{1} << 52}, at::kByte), c10::OutOfMemoryError);
}

TEST_CASE("libtorch gets memory without a tensor, too, and gives it back") {
  keep_memory();
  c10::Allocator& allocator = *at::getCPUAllocator();
  void* const memory = allocator.raw_allocate(1000);
  CHECK(reinterpret_cast<uintptr_t>(memory) % 64 == 0);
  allocator.raw_deallocate(memory);
  allocator.raw_deallocate(allocator.raw_allocate(0));
}
