// The kernel of logits beside libtorch's operations.

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "engine/plain/device_ops.hpp"
#include "kernels/under_test.hpp"

using namespace prune_sweep;

TEST_CASE("the kernel of logits finds the lowest of the largest, and the sum of all") {
  const KernelsUnderTest under_test = GENERATE(from_range(kernels_under_test()));
  const DeviceOps ops(under_test.table);
  const float infinity = std::numeric_limits<float>::infinity();
  const float not_a_number = std::numeric_limits<float>::quiet_NaN();
  at::manual_seed(5);
  at::Tensor logits = random({6, 41}, at::kFloat, at::kCPU).mul(3);
  logits.select(1, 7).fill_(50);
  logits.select(1, 30).fill_(50);
  logits[1].fill_(-infinity);
  logits[2].fill_(not_a_number);
  logits[3][40] = not_a_number;
  logits[4].narrow(0, 0, 40).fill_(-infinity);
  const LogitStates states = ops.scan_logits(logits.to(under_test.device), LogitsUse::kTotal);
  CHECK(at::equal(states.top_id.cpu(), at::tensor({7, -1, -1, 7, 40, 7}, at::kInt)));
  const at::Tensor total = states.total.cpu();
  const at::Tensor log_total = states.top.cpu().to(at::kDouble) + total.log();
  const at::Tensor expected = at::logsumexp(logits.to(at::kDouble), {1});
  for (const int64_t row : {0, 4, 5}) {
    CHECK(std::abs((log_total[row] - expected[row]).item<double>()) < 1e-5);
  }
  CHECK(std::isnan(total[2].item<double>()));
  CHECK(std::isnan(total[3].item<double>()));
}

TEST_CASE("the kernel of logits reads rows of any length") {
  const KernelsUnderTest under_test = GENERATE(from_range(kernels_under_test()));
  const DeviceOps ops(under_test.table);
  at::manual_seed(6);
  for (const int64_t ids : {1, 1000, 151'936}) {
    CAPTURE(ids);
    at::Tensor logits = random({5, ids}, at::kFloat, under_test.device);
    logits[3].fill_(1);
    logits[4].fill_(std::numeric_limits<float>::quiet_NaN());
    const at::Tensor numbers = logits.narrow(0, 0, 4);
    const LogitStates states = ops.scan_logits(logits, LogitsUse::kTotal);
    CHECK(at::equal(states.top.narrow(0, 0, 4), numbers.amax(1)));
    CHECK(
        at::equal(states.top_id.narrow(0, 0, 3).to(at::kLong), numbers.narrow(0, 0, 3).argmax(1)));
    CHECK(states.top_id[3].item<int32_t>() == 0);
    CHECK(states.top_id[4].item<int32_t>() == -1);
    CHECK(std::isnan(states.total[4].item<double>()));
    CHECK(at::allclose(
        (states.top.to(at::kDouble) + states.total.log()).narrow(0, 0, 4),
        at::logsumexp(numbers.to(at::kDouble), {1}),
        1e-6,
        1e-6));
    const LogitStates tops = ops.scan_logits(logits, LogitsUse::kGreedy);
    CHECK(at::equal(tops.top, states.top));
    CHECK(at::equal(tops.top_id, states.top_id));
    CHECK_FALSE(tops.total.defined());
  }
}
