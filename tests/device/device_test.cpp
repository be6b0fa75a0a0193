// On a GPU: the kernels beside libtorch's operations, and libtorch's attention beside the plain
// one. Run by tests/device/test_device.py, where there is one.

#include <ATen/ATen.h>

#include <cmath>

#include "catch.hpp"
#include "engine/plain/cuda_library.hpp"
#include "engine/plain/device_ops.hpp"
#include "engine/plain/plain_kv.hpp"
#include "engine/pruners/magnitude_zeros.hpp"

using namespace prune_sweep;

namespace {

const KernelTable* kernels() {
  load_cuda_library();
  const KernelTable* const table = load_cuda_kernels();
  REQUIRE(table != nullptr);
  return table;
}

constexpr at::ScalarType kTypes[]{at::kBFloat16, at::kHalf, at::kFloat};

at::Tensor random(at::IntArrayRef shape, at::ScalarType type) {
  return at::randn(shape, at::TensorOptions().device(at::kCUDA)).to(type);
}

/// Sums in another order flip a rounding here and there, which is then multiplied: a few units in
/// the last place of a row's largest value, and next to nothing on average.
bool is_close(const at::Tensor& a, const at::Tensor& b) {
  const double eps = a.scalar_type() == at::kFloat      ? 1e-5
                     : a.scalar_type() == at::kBFloat16 ? 0.0079
                                                        : 0.00098;
  const at::Tensor difference = (a.to(at::kFloat) - b.to(at::kFloat)).abs();
  const at::Tensor top = b.to(at::kFloat).abs().amax(-1, /*keepdim=*/true);
  return difference.le(top * (4 * eps)).all().item<bool>() &&
         difference.mean().item<double>() <= 0.1 * eps * top.mean().item<double>();
}

}  // namespace

TEST_CASE("kernels on the device give what libtorch's operations give") {
  const DeviceOps ops(kernels());
  const DeviceOps plain_ops;
  for (const at::ScalarType type : kTypes) {
    for (const int64_t rows : {1, 300, 70'000}) {
      CAPTURE(c10::toString(type), rows);
      const at::Tensor x = random({rows, 1024}, type);
      const RowNorm norm{random({1024}, type), 1e-6};
      CHECK(is_close(ops.rms_norm(x, norm), plain_ops.rms_norm(x, norm)));

      const at::Tensor heads = x.view({rows, 8, 128});
      const at::Tensor angles = random({rows, 64}, at::kFloat);
      const Rope rope{angles.cos().to(type), angles.sin().to(type)};
      const RowNorm head_norm{random({128}, type), 1e-6};
      for (const RowNorm& before : {head_norm, RowNorm{{}, 1e-6}}) {
        const at::Tensor expected = plain_ops.norm_and_rotate(heads, {before, rope});
        CHECK(is_close(ops.norm_and_rotate(heads.clone(), {before, rope}), expected));
      }
      const at::Tensor up = random({rows, 1024}, type);
      CHECK(is_close(ops.silu_mul(x, up), plain_ops.silu_mul(x, up)));

      const Attended a{heads, random({8, rows}, at::kFloat)};
      const Attended b{random({rows, 8, 128}, type), random({8, rows}, at::kFloat)};
      CHECK(is_close(ops.merge(a, b).values, plain_ops.merge(a, b).values));
      CHECK(is_close(ops.merge(a, b).log_sum, plain_ops.merge(a, b).log_sum));
    }
  }
}

TEST_CASE("attention on the device is that of the CPU") {
  load_cuda_library();
  for (const at::ScalarType type : kTypes) {
    CAPTURE(c10::toString(type));
    const at::Tensor k = random({900, 8, 128}, type);
    const at::Tensor v = random({900, 8, 128}, type);
    // Keys that overlap, in no order; and, as in generation, one query everywhere.
    const std::vector<VarlenPart> many{{500, 0, 600}, {1, 100, 1}, {199, 300, 600}};
    const std::vector<VarlenPart> single{{1, 0, 600}, {1, 100, 1}, {1, 300, 600}};
    for (const auto& [parts, mask] :
         {std::pair{many, Mask::kNone}, {many, Mask::kCausal}, {single, Mask::kNone}}) {
      int64_t num_queries = 0;
      for (const VarlenPart& part : parts) num_queries += part.num_queries;
      const at::Tensor q = random({num_queries, 16, 128}, type);
      const Attended on_device = attend_parts(q, k, v, VarlenParts(parts, at::kCUDA), mask);
      const Attended on_cpu =
          attend_parts(q.cpu(), k.cpu(), v.cpu(), VarlenParts(parts, at::kCPU), mask);
      const at::Tensor difference =
          (on_device.values.cpu().to(at::kFloat) - on_cpu.values.to(at::kFloat)).abs().max();
      CHECK(difference.item<double>() < (type == at::kFloat ? 1e-4 : 0.04));
      CHECK(at::allclose(on_device.log_sum.cpu(), on_cpu.log_sum, 1e-2, 1e-2));
    }
  }
}

TEST_CASE("weights pruned on the device are those pruned on the CPU") {
  load_cuda_library();
  const at::Tensor weights = random({300, 200}, at::kBFloat16);
  for (const int64_t cut : {0x3000, 0x3f00, 0x3f80}) {
    for (const int64_t ties : {0, 3, 100'000}) {
      CHECK(at::equal(
          plain::with_zeros(weights, cut, ties).cpu(),
          plain::with_zeros(weights.cpu(), cut, ties)));
    }
  }
}
