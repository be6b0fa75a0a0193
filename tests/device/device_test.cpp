// On a GPU, besides the tests of its kernels: recorded steps, libtorch's attention beside the plain
// one, pruning. Run by tests/device/test_device.py, where there is one.

#include <ATen/ATen.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>
#include <vector>

#include "catch.hpp"
#include "engine/plain/cuda_graph.hpp"
#include "engine/plain/cuda_library.hpp"
#include "engine/plain/varlen_attention.hpp"
#include "engine/pruners/magnitude_zeros.hpp"
#include "kernels/under_test.hpp"

using namespace prune_sweep;

namespace {

const KernelTable* kernels() {
  load_cuda_library();
  const KernelTable* const table = load_cuda_kernels();
  REQUIRE(table != nullptr);
  return table;
}

at::Tensor random(at::IntArrayRef shape, at::ScalarType type) {
  return prune_sweep::random(shape, type, at::kCUDA);
}

}  // namespace

std::vector<KernelsUnderTest> prune_sweep::kernels_under_test() {
  return {{kernels(), at::kCUDA, /*many_rows=*/70'000, /*num_generated=*/7}};
}

TEST_CASE("steps are recorded one after the other and run as they were recorded") {
  const KernelTable* const table = kernels();
  const c10::impl::VirtualGuardImpl device(at::kCUDA);
  const c10::StreamGuard stream(device.getStreamFromGlobalPool(device.getDevice()));
  const at::Tensor x = random({1000}, at::kFloat);
  for (const double factor : {2.0, 3.0, 5.0}) {
    at::Tensor product = at::zeros_like(x);
    const auto step = [&] { product.copy_(x * factor); };
    step();
    const auto recorded = CudaGraph::record(*table->graphs, step);
    REQUIRE(recorded != nullptr);
    product.zero_();
    recorded->run();
    CHECK(at::equal(product, x * factor));
  }
}

TEST_CASE("attention on the device is that of the CPU") {
  load_cuda_library();
  for (const at::ScalarType type : kKernelTypes) {
    CAPTURE(c10::toString(type));
    const at::Tensor k = random({900, 8, 128}, type);
    const at::Tensor v = random({900, 8, 128}, type);
    // Keys that overlap, in no order; and, as in generation, one query everywhere.
    const std::vector<VarlenPart> many{{500, 0, 600}, {1, 100, 1}, {199, 300, 600}};
    const std::vector<VarlenPart> single{{1, 0, 600}, {1, 100, 1}, {1, 300, 600}};
    const std::vector<VarlenPart> without_keys{{300, 0, 0}, {200, 100, 600}, {70, 0, 0}};
    for (const auto& [parts, mask] :
         {std::pair{many, Mask::kNone},
          {many, Mask::kCausal},
          {single, Mask::kNone},
          {without_keys, Mask::kNone}}) {
      int64_t num_queries = 0;
      for (const VarlenPart& part : parts) num_queries += part.num_queries;
      const at::Tensor q = random({num_queries, 16, 128}, type);
      const Attended on_device = attend_parts(q, k, v, VarlenParts(parts, at::kCUDA), mask);
      const Attended on_cpu =
          attend_parts(q.cpu(), k.cpu(), v.cpu(), VarlenParts(parts, at::kCPU), mask);
      const at::Tensor difference =
          (on_device.values.cpu().to(at::kFloat) - on_cpu.values.to(at::kFloat)).abs().max();
      CHECK(difference.item<double>() < (type == at::kFloat ? 1e-4 : 0.04));
      // A query without keys has an infinite sum, of either sign.
      const at::Tensor sums = on_device.log_sum.cpu();
      CHECK(at::equal(sums.isinf(), on_cpu.log_sum.isinf()));
      const at::Tensor is_sum = on_cpu.log_sum.isfinite();
      CHECK(at::allclose(
          sums.masked_select(is_sum), on_cpu.log_sum.masked_select(is_sum), 1e-2, 1e-2));
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
