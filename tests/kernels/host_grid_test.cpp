// The grid that runs kernels on a host tells what would go wrong on a GPU.

#include "kernels/host_grid.hpp"

#include <stdexcept>
#include <vector>

#include "catch.hpp"

using host_grid::Order;

TEST_CASE("threads of a grid meet at barriers and exchange values within warps") {
  for (const Order order : {Order::kAscending, Order::kDescending}) {
    host_grid::set_order(order);
    std::vector<float> sums(6 * 64);
    host_grid::run(dim3(3, 2), 64, 64 * sizeof(float), [&] {
      float* const shared = host_grid::dynamic_shared();
      shared[threadIdx.x] = static_cast<float>(threadIdx.x);
      __syncthreads();
      float value = shared[63 - threadIdx.x];
      for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(~0U, value, step);
      sums[(blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x] = value;
    });
    for (size_t i = 0; i < sums.size(); ++i) {
      CHECK(sums[i] == (i % 64 < 32 ? 32 * 47.5F : 32 * 15.5F));
    }
  }
}

TEST_CASE("a grid refuses threads that wait for others in vain") {
  const auto run = [](auto thread) { host_grid::run(dim3(1), 64, 0, thread); };
  host_grid::set_order(Order::kAscending);
  CHECK_THROWS_AS(
      run([] {
        if (threadIdx.x < 40) __shfl_xor_sync(~0U, 1, 1);
      }),
      std::logic_error);
  CHECK_THROWS_AS(
      run([] {
        if (threadIdx.x == 3) {
          __shfl_xor_sync(~0U, 1, 1);
        } else {
          __syncthreads();
        }
      }),
      std::logic_error);
  // With some lanes alone, with other masks than a neighbour's, with another warp.
  CHECK_THROWS_AS(run([] { __shfl_xor_sync(0xffff, 1, 1); }), std::logic_error);
  CHECK_THROWS_AS(run([] { __shfl_xor_sync(~0U, 1, threadIdx.x < 4 ? 1 : 2); }), std::logic_error);
  CHECK_THROWS_AS(run([] { __shfl_xor_sync(~0U, 1, 32); }), std::logic_error);
  // Who has ended is not waited for.
  CHECK_NOTHROW(run([] {
    if (threadIdx.x < 40) __syncthreads();
  }));
}

TEST_CASE("a grid refuses launches that a GPU refuses") {
  const auto run = [](dim3 blocks, unsigned threads, size_t shared_bytes) {
    host_grid::run(blocks, threads, shared_bytes, [] {});
  };
  CHECK_NOTHROW(run(dim3(2, 3), 32, 48 << 10));
  CHECK_THROWS_AS(run(dim3(0), 32, 0), std::logic_error);
  CHECK_THROWS_AS(run(dim3(1, 0), 32, 0), std::logic_error);
  CHECK_THROWS_AS(run(dim3(1, 65'536), 32, 0), std::logic_error);
  CHECK_THROWS_AS(run(dim3(1), 0, 0), std::logic_error);
  CHECK_THROWS_AS(run(dim3(1), 1025, 0), std::logic_error);
  CHECK_THROWS_AS(run(dim3(1), 32, (48 << 10) + 1), std::logic_error);
}

// Run by itself, by a test that wants the sanitizer's report.
TEST_CASE("a thread reads behind a variable of its own after a barrier", "[.overflow]") {
  host_grid::run(dim3(1), 32, 0, [] {
    volatile float values[4] = {};
    volatile float* volatile end = values + 4;
    __syncthreads();
    values[0] = *end;
  });
}

TEST_CASE("a race shows in what the orders of threads give") {
  const auto last_of = [](Order order) {
    host_grid::set_order(order);
    unsigned last = 0;
    host_grid::run(dim3(2), 64, 0, [&] { last = blockIdx.x * blockDim.x + threadIdx.x; });
    return last;
  };
  CHECK(last_of(Order::kAscending) == 127);
  CHECK(last_of(Order::kDescending) == 0);
}
