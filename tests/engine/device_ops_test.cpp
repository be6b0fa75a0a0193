// The kernels' arithmetic, compiled for the host, beside plain operations.

#include "engine/plain/device_ops.hpp"

#include <ATen/ATen.h>

#include <limits>

#include "catch.hpp"
#include "engine/host_kernels.hpp"

using namespace prune_sweep;

namespace {

const DeviceOps kPlain;
const DeviceOps kKernels(host_kernels::table());

/// Whether values differ by a rounding to their type at most.
bool is_close(const at::Tensor& a, const at::Tensor& b) {
  const double eps = a.scalar_type() == at::kFloat      ? 1e-6
                     : a.scalar_type() == at::kBFloat16 ? 0.0079
                                                        : 0.00098;
  return at::allclose(a.to(at::kFloat), b.to(at::kFloat), eps, eps);
}

constexpr at::ScalarType kTypes[]{at::kFloat, at::kBFloat16, at::kHalf};

}  // namespace

TEST_CASE("the kernels' RMSNorm is that of plain operations") {
  at::manual_seed(1);
  for (const at::ScalarType type : kTypes) {
    for (const int64_t n : {1, 7, 64, 1000}) {
      CAPTURE(c10::toString(type), n);
      const at::Tensor x = at::randn({5, n}).to(type);
      const RowNorm norm{at::randn({n}).to(type), 1e-6};
      CHECK(is_close(kKernels.rms_norm(x, norm), kPlain.rms_norm(x, norm)));
    }
  }
}

TEST_CASE("the kernels turn heads as plain operations do, with a norm before it and without") {
  at::manual_seed(2);
  for (const at::ScalarType type : kTypes) {
    for (const bool has_norm : {false, true}) {
      CAPTURE(c10::toString(type), has_norm);
      const at::Tensor x = at::randn({6, 3, 16}).to(type);
      const at::Tensor angles = at::randn({6, 8});
      const Rope rope{angles.cos().to(type), angles.sin().to(type)};
      RowNorm norm{{}, 1e-6};
      if (has_norm) norm.weight = at::randn({16}).to(type);
      const at::Tensor expected = kPlain.norm_and_rotate(x, {norm, rope});
      CHECK(is_close(kKernels.norm_and_rotate(x.clone(), {norm, rope}), expected));
    }
  }
}

TEST_CASE("the kernels gate as plain operations do") {
  at::manual_seed(3);
  for (const at::ScalarType type : kTypes) {
    const at::Tensor gate = (at::randn({9, 31}) * 4).to(type);
    const at::Tensor up = at::randn({9, 31}).to(type);
    CAPTURE(c10::toString(type));
    CHECK(is_close(kKernels.silu_mul(gate, up), kPlain.silu_mul(gate, up)));
  }
}

TEST_CASE("the kernels merge two parts of attention as plain operations do") {
  at::manual_seed(4);
  for (const at::ScalarType type : kTypes) {
    CAPTURE(c10::toString(type));
    const auto random = [&] {
      return Attended{at::randn({5, 3, 8}).to(type), at::randn({3, 5}) * 5};
    };
    Attended a = random();
    // One query reads nothing of the first part.
    a.log_sum.select(1, 2).fill_(-std::numeric_limits<float>::infinity());
    const Attended b = random();
    const Attended merged = kKernels.merge(a, b);
    CHECK(is_close(merged.values, kPlain.merge(a, b).values));
    CHECK(is_close(merged.log_sum, kPlain.merge(a, b).log_sum));
    CHECK(at::equal(merged.values.select(0, 2), b.values.select(0, 2)));
  }
}
