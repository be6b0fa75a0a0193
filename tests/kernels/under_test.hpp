/// \file
/// The kernels that a program tests: test_device those of a GPU, test_kernels the same sources
/// compiled for the host.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "engine/cuda/kernel_table.hpp"

namespace prune_sweep {

struct KernelsUnderTest {
  const KernelTable* table = nullptr;
  at::Device device = at::kCPU;
  int64_t many_rows = 0;  ///< of the largest inputs
  int num_generated = 0;  ///< tokens, one after the other
};

/// On a host one for each order of threads.
std::vector<KernelsUnderTest> kernels_under_test();

inline constexpr at::ScalarType kKernelTypes[]{at::kBFloat16, at::kHalf, at::kFloat};

inline at::Tensor random(at::IntArrayRef shape, at::ScalarType type, at::Device device) {
  return at::randn(shape, at::TensorOptions().device(device)).to(type);
}

/// Of one rounding to a type, about; of float32 it is the caller's.
inline double rounding_of(at::ScalarType type, double of_float) {
  return type == at::kFloat ? of_float : type == at::kBFloat16 ? 0.0079 : 0.00098;
}

/// Sums in another order flip a rounding here and there, which is then multiplied: a few units in
/// the last place of a row's largest value, and next to nothing on average.
inline bool is_close(const at::Tensor& a, const at::Tensor& b) {
  const double eps = rounding_of(a.scalar_type(), 1e-5);
  const at::Tensor difference = (a.to(at::kFloat) - b.to(at::kFloat)).abs();
  const at::Tensor top = b.to(at::kFloat).abs().amax(-1, /*keepdim=*/true);
  return difference.le(top * (4 * eps)).all().item<bool>() &&
         difference.mean().item<double>() <= 0.1 * eps * top.mean().item<double>();
}

/// Where nothing is added up in another order, values differ by a rounding to their type at most.
inline bool is_rounded_alike(const at::Tensor& a, const at::Tensor& b) {
  const double eps = rounding_of(a.scalar_type(), 1e-6);
  return at::allclose(a.to(at::kFloat), b.to(at::kFloat), eps, eps);
}

}  // namespace prune_sweep
