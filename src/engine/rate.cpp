#include "prune_sweep/engine/rate.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "engine/kernels.hpp"
#include "engine/linear.hpp"
#include "engine/weights.hpp"

namespace prune_sweep {

double measure_flops_per_s(DType dtype, int64_t hidden, int64_t intermediate, int32_t num_threads) {
  constexpr int64_t kRows = 1024;
  constexpr double kBudget_s = 0.5;
  using Clock = std::chrono::steady_clock;
  const c10::InferenceMode inference;
  at::set_num_threads(num_threads);
  const at::ScalarType type = scalar_type(dtype);
  const auto random = [&](int64_t rows, int64_t columns) {
    return (at::randn({rows, columns}) / 32).to(type);
  };
  const at::Tensor rows = random(kRows, hidden);
  const at::Tensor gate = random(intermediate, hidden);
  const at::Tensor up = random(intermediate, hidden);
  const at::Tensor down = random(hidden, intermediate);
  ProductRows x(tiles::arithmetic_of(type));
  ProductRows inner(x.arithmetic());
  const auto run = [&] {
    if (x.arithmetic() == tiles::Arithmetic::kNone) {
      at::linear(plain::silu_mul(at::linear(rows, gate), at::linear(rows, up)), down);
      return;
    }
    x.take(rows);
    gated_product(x, gate, up, inner);
    add_product(inner, down, rows);
  };
  run();
  std::vector<double> seconds;
  const Clock::time_point begin = Clock::now();
  while (seconds.size() < 3 ||
         std::chrono::duration<double>(Clock::now() - begin).count() < kBudget_s) {
    const Clock::time_point start = Clock::now();
    run();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + std::ssize(seconds) / 2, seconds.end());
  const double flops = 2.0 * kRows * static_cast<double>(3 * hidden * intermediate);
  return flops / seconds[seconds.size() / 2];
}

}  // namespace prune_sweep
