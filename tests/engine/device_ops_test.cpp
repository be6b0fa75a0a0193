// The kernels' arithmetic, compiled for the host, beside plain operations.

#include "engine/plain/device_ops.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <vector>

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

      const at::Tensor added = at::randn({5, n}).to(type);
      const at::Tensor sum = x.clone();
      const at::Tensor normed = kKernels.add_and_norm(sum, added, norm);
      CHECK(at::equal(sum, x + added));
      CHECK(is_close(normed, kPlain.rms_norm(sum, norm)));
      const at::Tensor apart = at::stack({x, x}, 1).select(1, 0);  // rows that lie apart
      CHECK(at::equal(kKernels.add_and_norm(apart, added, norm), normed));
      CHECK(at::equal(apart, sum));
    }
  }
}

TEST_CASE("the kernels turn heads as plain operations do, with a norm before it and without") {
  at::manual_seed(2);
  for (const at::ScalarType type : kTypes) {
    for (const bool has_norm : {false, true}) {
      for (const int64_t q_heads : {0, 3, 5}) {
        CAPTURE(c10::toString(type), has_norm, q_heads);
        // Rows lie apart: there is something else behind the heads of each.
        const at::Tensor wide = at::randn({6, 7, 16}).to(type);
        const at::Tensor angles = at::randn({6, 8});
        HeadTurns turns{
            q_heads, {{}, 1e-6}, {{}, 1e-6}, {angles.cos().to(type), angles.sin().to(type)}};
        if (has_norm) {
          turns.q_norm.weight = at::randn({16}).to(type);
          turns.k_norm.weight = at::randn({16}).to(type);
        }
        const at::Tensor expected = wide.clone();
        kPlain.turn_heads(expected.narrow(1, 0, 5), turns);
        const at::Tensor turned = wide.clone();
        kKernels.turn_heads(turned.narrow(1, 0, 5), turns);
        CHECK(is_close(turned, expected));
        CHECK(at::equal(turned.narrow(1, 5, 2), wide.narrow(1, 5, 2)));
        CHECK_FALSE(at::equal(turned.narrow(1, 0, 5), wide.narrow(1, 0, 5)));
      }
    }
  }
}

TEST_CASE("the kernels gate as plain operations do") {
  at::manual_seed(3);
  for (const at::ScalarType type : kTypes) {
    CAPTURE(c10::toString(type));
    const at::Tensor gate = (at::randn({9, 31}) * 4).to(type);
    const at::Tensor up = at::randn({9, 31}).to(type);
    const at::Tensor expected = kPlain.silu_mul(gate, up);
    CHECK(is_close(kKernels.silu_mul(gate, up), expected));
    const at::Tensor both = at::cat({gate, up}, 1);
    CHECK(is_close(kKernels.silu_mul(both.narrow(1, 0, 31), both.narrow(1, 31, 31)), expected));
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
    // Another one nothing of the second, as libtorch's kernel says it.
    const Attended b = random();
    b.log_sum.select(1, 3).fill_(std::numeric_limits<float>::infinity());
    const Attended expected = plain::merge(a, b);
    for (const DeviceOps& ops : {kPlain, kKernels}) {
      Attended merged{a.values.clone(), a.log_sum.clone()};
      ops.merge(merged, b, LogSums::kMerged);
      CHECK(is_close(merged.values, expected.values));
      CHECK(is_close(merged.log_sum, expected.log_sum));
      CHECK(at::equal(merged.values.select(0, 2), b.values.select(0, 2)));
      CHECK(at::equal(merged.values.select(0, 3), a.values.select(0, 3)));
    }
  }
}

TEST_CASE("the kernel of logits finds the lowest of the largest, and the sum of all") {
  at::manual_seed(5);
  const float infinity = std::numeric_limits<float>::infinity();
  at::Tensor logits = at::randn({6, 41}) * 3;
  logits.select(1, 7).fill_(50);
  logits.select(1, 30).fill_(50);
  logits[1].fill_(-infinity);
  logits[2].fill_(std::numeric_limits<float>::quiet_NaN());
  logits[3][40] = std::numeric_limits<float>::quiet_NaN();
  logits[4].narrow(0, 0, 40).fill_(-infinity);
  const LogitStates states = kKernels.scan_logits(logits, LogitsUse::kTotal);
  const std::vector<int32_t> ids(
      states.top_id.const_data_ptr<int32_t>(), states.top_id.const_data_ptr<int32_t>() + 6);
  CHECK(ids == std::vector<int32_t>{7, -1, -1, 7, 40, 7});
  const at::Tensor log_total = states.top.to(at::kDouble) + states.total.log();
  const at::Tensor expected = at::logsumexp(logits.to(at::kDouble), {1});
  for (const int64_t row : {0, 4, 5}) {
    CHECK(std::abs((log_total[row] - expected[row]).item<double>()) < 1e-5);
  }
  CHECK(std::isnan(states.total[2].item<double>()));
  CHECK(std::isnan(states.total[3].item<double>()));
}
