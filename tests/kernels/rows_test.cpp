// Kernels of rows beside libtorch's operations.

#include <ATen/ATen.h>

#include <limits>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "engine/attention_parts.hpp"
#include "engine/plain/device_ops.hpp"
#include "kernels/under_test.hpp"

using namespace prune_sweep;

namespace {

const DeviceOps kPlain;

}  // namespace

TEST_CASE("kernels norm rows as libtorch's operations do") {
  const KernelsUnderTest under_test = GENERATE(from_range(kernels_under_test()));
  const DeviceOps ops(under_test.table);
  at::manual_seed(1);
  const std::vector<std::pair<int64_t, int64_t>> shapes{
      {1, 1}, {5, 7}, {1, 64}, {5, 1000}, {under_test.many_rows, 1024}};
  for (const at::ScalarType type : kKernelTypes) {
    for (const auto& [rows, n] : shapes) {
      CAPTURE(c10::toString(type), rows, n);
      const at::Tensor x = random({rows, n}, type, under_test.device);
      const RowNorm norm{random({n}, type, under_test.device), 1e-6};
      CHECK(is_close(ops.rms_norm(x, norm), kPlain.rms_norm(x, norm)));

      const at::Tensor added = random({rows, n}, type, under_test.device);
      const at::Tensor sum = x.clone();
      const at::Tensor normed = ops.add_and_norm(sum, added, norm);
      CHECK(at::equal(sum, x + added));
      CHECK(is_close(normed, kPlain.rms_norm(sum, norm)));
      const at::Tensor apart = at::stack({x, x}, 1).select(1, 0);  // rows that lie apart
      CHECK(at::equal(ops.add_and_norm(apart, added, norm), normed));
      CHECK(at::equal(apart, sum));
    }
  }
}

TEST_CASE("kernels turn heads as libtorch's operations do, with a norm before it and without") {
  const KernelsUnderTest under_test = GENERATE(from_range(kernels_under_test()));
  const DeviceOps ops(under_test.table);
  const at::Device device = under_test.device;
  at::manual_seed(2);
  struct Heads {
    int64_t rows;
    int64_t all;     ///< in a row
    int64_t q;       ///< the first of them
    int64_t turned;  ///< of queries and keys
    int64_t head_dim;
  };
  const std::vector<Heads> cases{
      {6, 7, 0, 5, 16},
      {6, 7, 3, 5, 16},
      {6, 7, 5, 5, 16},
      {6, 5, 3, 5, 20},  // not whole loads of 16 bytes
      {under_test.many_rows, 8, 4, 6, 128},
      {5, 40, 32, 40, 128}};  // more than a block takes at once
  for (const at::ScalarType type : kKernelTypes) {
    for (const auto& [rows, all, q_heads, turned_heads, head_dim] : cases) {
      for (const bool has_norm : {false, true}) {
        CAPTURE(c10::toString(type), rows, all, q_heads, head_dim, has_norm);
        const at::Tensor angles = random({rows, head_dim / 2}, at::kFloat, device);
        HeadTurns turns{
            q_heads, {{}, 1e-6}, {{}, 1e-6}, {angles.cos().to(type), angles.sin().to(type)}};
        if (has_norm) {
          turns.q_norm.weight = random({head_dim}, type, device);
          turns.k_norm.weight = random({head_dim}, type, device);
        }
        const at::Tensor heads = random({rows, all, head_dim}, type, device);
        const at::Tensor expected = heads.clone();
        kPlain.turn_heads(expected.narrow(1, 0, turned_heads), turns);
        const at::Tensor turned = heads.clone();
        ops.turn_heads(turned.narrow(1, 0, turned_heads), turns);
        CHECK(is_close(turned, expected));
        // What is behind them in a row stays as it is.
        const int64_t others = all - turned_heads;
        CHECK(at::equal(
            turned.narrow(1, turned_heads, others), heads.narrow(1, turned_heads, others)));
        CHECK_FALSE(at::equal(turned.narrow(1, 0, turned_heads), heads.narrow(1, 0, turned_heads)));
      }
    }
  }
}

TEST_CASE("kernels gate as libtorch's operations do") {
  const KernelsUnderTest under_test = GENERATE(from_range(kernels_under_test()));
  const DeviceOps ops(under_test.table);
  at::manual_seed(3);
  for (const at::ScalarType type : kKernelTypes) {
    for (const int64_t n : {31, 1024}) {
      CAPTURE(c10::toString(type), n);
      const int64_t rows = under_test.many_rows;
      const at::Tensor gate = random({rows, n}, at::kFloat, under_test.device).mul(4).to(type);
      const at::Tensor up = random({rows, n}, type, under_test.device);
      const at::Tensor expected = kPlain.silu_mul(gate, up);
      CHECK(is_rounded_alike(ops.silu_mul(gate, up), expected));
      const at::Tensor both = at::cat({gate, up}, 1);
      CHECK(is_rounded_alike(ops.silu_mul(both.narrow(1, 0, n), both.narrow(1, n, n)), expected));
    }
  }
}

TEST_CASE("kernels merge two parts of attention as libtorch's operations do") {
  const KernelsUnderTest under_test = GENERATE(from_range(kernels_under_test()));
  at::manual_seed(4);
  for (const at::ScalarType type : kKernelTypes) {
    for (const int64_t head_dim : {8, 20, 128}) {
      CAPTURE(c10::toString(type), head_dim);
      const int64_t rows = under_test.many_rows;
      const auto draw = [&] {
        return Attended{
            random({rows, 3, head_dim}, type, under_test.device),
            random({3, rows}, at::kFloat, under_test.device).mul(5)};
      };
      Attended a = draw();
      // One query reads nothing of the first part.
      a.log_sum.select(1, 2).fill_(-std::numeric_limits<float>::infinity());
      // Another one nothing of the second, as libtorch's kernel says it.
      const Attended b = draw();
      b.log_sum.select(1, 3).fill_(std::numeric_limits<float>::infinity());
      const Attended expected = plain::merge(a, b);
      for (const DeviceOps& ops : {kPlain, DeviceOps(under_test.table)}) {
        for (const LogSums sums : {LogSums::kMerged, LogSums::kNotWanted}) {
          Attended merged{a.values.clone(), a.log_sum.clone()};
          ops.merge(merged, b, sums);
          CHECK(is_rounded_alike(merged.values, expected.values));
          CHECK(at::equal(merged.values.select(0, 2), b.values.select(0, 2)));
          CHECK(at::equal(merged.values.select(0, 3), a.values.select(0, 3)));
          if (sums == LogSums::kMerged) {
            CHECK(at::allclose(merged.log_sum, expected.log_sum, 1e-5, 1e-5));
          }
        }
      }
    }
  }
}
