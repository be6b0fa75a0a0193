// On a GPU: the kernels beside libtorch's operations, and libtorch's attention beside the plain
// one. Run by tests/device/test_device.py, where there is one.

#include <ATen/ATen.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cmath>
#include <memory>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "engine/plain/cuda_graph.hpp"
#include "engine/plain/cuda_library.hpp"
#include "engine/plain/device_ops.hpp"
#include "engine/plain/plain_kv.hpp"
#include "engine/pruners/magnitude_zeros.hpp"
#include "prune_sweep/core/stream_tree.hpp"

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
      const at::Tensor added = random({rows, 1024}, type);
      const at::Tensor sum = x.clone();
      CHECK(is_close(ops.add_and_norm(sum, added, norm), plain_ops.rms_norm(x + added, norm)));
      CHECK(at::equal(sum, x + added));

      const at::Tensor heads = x.view({rows, 8, 128});
      const at::Tensor angles = random({rows, 64}, at::kFloat);
      const Rope rope{angles.cos().to(type), angles.sin().to(type)};
      const auto weight = [&] { return RowNorm{random({128}, type), 1e-6}; };
      const RowNorm none{{}, 1e-6};
      for (const HeadTurns& turns :
           {HeadTurns{4, weight(), weight(), rope}, HeadTurns{4, none, none, rope}}) {
        // What is behind the heads of a row stays as it is.
        const at::Tensor expected = heads.clone();
        plain_ops.turn_heads(expected.narrow(1, 0, 6), turns);
        const at::Tensor turned = heads.clone();
        ops.turn_heads(turned.narrow(1, 0, 6), turns);
        CHECK(is_close(turned, expected));
      }
      if (rows <= 300) {  // more heads than a block takes at once
        const HeadTurns turns{32, weight(), weight(), rope};
        const at::Tensor many = random({rows, 40, 128}, type);
        const at::Tensor expected = many.clone();
        plain_ops.turn_heads(expected, turns);
        ops.turn_heads(many, turns);
        CHECK(is_close(many, expected));
      }
      const at::Tensor up = random({rows, 1024}, type);
      const at::Tensor gated = plain_ops.silu_mul(x, up);
      CHECK(is_close(ops.silu_mul(x, up), gated));
      const at::Tensor both = at::cat({x, up}, 1);
      CHECK(is_close(ops.silu_mul(both.narrow(1, 0, 1024), both.narrow(1, 1024, 1024)), gated));

      Attended a{heads.clone(), random({8, rows}, at::kFloat)};
      const Attended b{random({rows, 8, 128}, type), random({8, rows}, at::kFloat)};
      const Attended merged = plain::merge(a, b);
      ops.merge(a, b, LogSums::kMerged);
      CHECK(is_close(a.values, merged.values));
      CHECK(at::allclose(a.log_sum, merged.log_sum, 1e-5, 1e-5));
    }
  }
}

TEST_CASE("the kernel of logits on the device finds what libtorch finds") {
  const DeviceOps ops(kernels());
  for (const int64_t ids : {1, 1000, 151'936}) {
    at::Tensor logits = random({33, ids}, at::kFloat);
    logits[5].fill_(std::nan(""));
    logits[6].fill_(1);
    const LogitStates states = ops.scan_logits(logits, LogitsUse::kTotal);
    const at::Tensor rows = at::tensor({0, 1, 2, 3, 4, 6, 7, 32}, at::kLong).cuda();
    const at::Tensor numbers = logits.index_select(0, rows);
    CHECK(at::equal(states.top.index_select(0, rows), numbers.amax(1)));
    CHECK(at::equal(states.top_id.index_select(0, rows).to(at::kLong)[0], numbers[0].argmax()));
    CHECK(states.top_id[5].item<int32_t>() == -1);
    CHECK(states.top_id[6].item<int32_t>() == 0);
    CHECK(at::allclose(
        (states.top.to(at::kDouble) + states.total.log()).index_select(0, rows),
        at::logsumexp(numbers.to(at::kDouble), {1}),
        1e-6,
        1e-6));
  }
}

TEST_CASE("generated tokens attend on the device as on the CPU, with kernels and without") {
  load_cuda_library();
  const KernelTable* const table = kernels();
  for (const at::ScalarType type : kTypes) {
    // Heads that share keys in fours, twos and not at all; the last has no loads of 16 bytes.
    for (const auto& [heads, kv_heads, head_dim] :
         {std::tuple{16, 8, 128}, {8, 2, 64}, {6, 1, 32}, {3, 3, 20}}) {
      for (const size_t prefix : {0, 200}) {
        CAPTURE(c10::toString(type), heads, head_dim, prefix);
        // Sequences of one prompt each, of 150, 1 and 70 tokens behind the prefix.
        PackedRows packed;
        packed.prefix_len = static_cast<int64_t>(prefix);
        packed.ids.resize(prefix + 221);
        packed.positions.resize(prefix + 221);
        int64_t first = packed.prefix_len;
        for (const int64_t own : {150, 1, 70}) {
          packed.sequences.push_back({first, own, own});
          first += own;
        }
        const StreamTree tree = build_stream_tree(std::vector<Variant>(1), 1);
        const auto draw = [&](int64_t rows) {
          return Qkv{
              random({rows, heads, head_dim}, type),
              random({rows, kv_heads, head_dim}, type),
              random({rows, kv_heads, head_dim}, type)};
        };
        const auto on_cpu = [](const Qkv& qkv) {
          return Qkv{qkv.q.cpu(), qkv.k.cpu(), qkv.v.cpu()};
        };
        PlainKv with(packed, {0}, tree, KeepKv::kYes, at::kCUDA, DeviceOps(table));
        PlainKv without(packed, {0}, tree, KeepKv::kYes, at::kCUDA);
        PlainKv expected(packed, {0}, tree, KeepKv::kYes, at::kCPU);
        const Qkv prompts = draw(packed.num_rows());
        const std::vector<int64_t> first_branch{0};
        const at::Tensor attended =
            with.attend_prompts(0, first_branch, prompts, Queries::kAllRows);
        without.attend_prompts(0, first_branch, prompts, Queries::kAllRows);
        CHECK(is_close(
            attended.cpu(),
            expected.attend_prompts(0, first_branch, on_cpu(prompts), Queries::kAllRows)));
        const int64_t base = packed.prefix_len;
        const std::vector<GeneratedRow> rows{
            {0, 0, base + 150, 2}, {0, 1, prefix > 0 ? base : 1, 0}, {0, 2, base + 70, 1}};
        at::Tensor positions = at::tensor({base + 150, prefix > 0 ? base : 1, base + 70}, at::kInt);
        std::vector<std::unique_ptr<GeneratedRows>> told;
        for (PlainKv* kv : {&with, &without, &expected}) {
          kv->reserve_generated(3, 40);
          told.push_back(kv->tell_rows(0, rows));
        }
        for (int step = 0; step < 7; ++step) {
          const Qkv qkv = draw(3);
          const at::Tensor wanted =
              expected.attend_generated(*told[2], positions, on_cpu(qkv)).to(at::kFloat);
          const auto difference = [&](const at::Tensor& values) {
            return (values.cpu().to(at::kFloat) - wanted).abs().max().item<double>();
          };
          const double bound = type == at::kFloat ? 1e-4 : 0.04;
          CHECK(difference(with.attend_generated(*told[0], positions.cuda(), qkv)) < bound);
          CHECK(difference(without.attend_generated(*told[1], positions.cuda(), qkv)) < bound);
          positions.add_(1);
        }
      }
    }
  }
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
  for (const at::ScalarType type : kTypes) {
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
