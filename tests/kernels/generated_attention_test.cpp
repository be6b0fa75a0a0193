// Attention of generated tokens by a kernel, and without, beside that of plain operations on a CPU.

#include <ATen/ATen.h>

#include <memory>
#include <vector>

#include "catch.hpp"
#include "engine/plain/plain_kv.hpp"
#include "kernels/under_test.hpp"
#include "prune_sweep/core/stream_tree.hpp"

using namespace prune_sweep;

namespace {

struct Heads {
  int64_t q;
  int64_t kv;
  int64_t head_dim;
};

Qkv draw(int64_t rows, const Heads& heads, at::ScalarType type, at::Device device) {
  return {
      random({rows, heads.q, heads.head_dim}, type, device),
      random({rows, heads.kv, heads.head_dim}, type, device),
      random({rows, heads.kv, heads.head_dim}, type, device)};
}

Qkv on_cpu(const Qkv& qkv) { return {qkv.q.cpu(), qkv.k.cpu(), qkv.v.cpu()}; }

/// Sequences of one prompt each, which have so many tokens behind the prefix.
PackedRows packed_of(int64_t prefix, const std::vector<int64_t>& own_lens) {
  PackedRows packed;
  packed.prefix_len = prefix;
  int64_t first = prefix;
  for (const int64_t own : own_lens) {
    packed.sequences.push_back({first, own, own});
    first += own;
  }
  packed.ids.resize(static_cast<size_t>(first));
  packed.positions.resize(static_cast<size_t>(first));
  return packed;
}

}  // namespace

TEST_CASE("generated tokens attend as plain operations do, with the kernel and without") {
  const KernelsUnderTest under_test = GENERATE(from_range(kernels_under_test()));
  const at::Device device = under_test.device;
  at::manual_seed(7);
  std::vector<Variant> variants(2);
  variants[1].edits = parse_edits("0 drop-mlp", 1, MagnitudeScope::kTensor, "test");
  const StreamTree tree = build_stream_tree(variants, 1);
  for (const at::ScalarType type : kKernelTypes) {
    // Heads that share keys in fours, twos and not at all; the last has no loads of 16 bytes.
    for (const Heads& heads : {Heads{16, 8, 128}, {8, 2, 64}, {6, 1, 32}, {3, 3, 20}}) {
      for (const int64_t prefix : {0, 200}) {
        CAPTURE(c10::toString(type), heads.q, heads.head_dim, prefix);
        const PackedRows packed = packed_of(prefix, {150, 1, 70});
        PlainKv with(packed, {0}, tree, KeepKv::kYes, device, DeviceOps(under_test.table));
        PlainKv without(packed, {0}, tree, KeepKv::kYes, device);
        PlainKv expected(packed, {0}, tree, KeepKv::kYes, at::kCPU);
        for (const int64_t branch : {0, 1}) {
          const std::vector<int64_t> branches{branch};
          const Qkv prompts = draw(packed.num_rows(), heads, type, device);
          const at::Tensor attended = with.attend_prompts(0, branches, prompts, Queries::kAllRows);
          without.attend_prompts(0, branches, prompts, Queries::kAllRows);
          CHECK(is_close(
              attended.cpu(),
              expected.attend_prompts(0, branches, on_cpu(prompts), Queries::kAllRows)));
        }
        // The second prompt ends with the prefix where there is one; branches and slots are in no
        // order.
        const int64_t second_len = prefix > 0 ? prefix : 1;
        const std::vector<GeneratedRow> rows{
            {1, 2, prefix + 70, 1}, {0, 0, prefix + 150, 2}, {0, 1, second_len, 0}};
        at::Tensor positions = at::tensor({prefix + 70, prefix + 150, second_len}, at::kInt);
        std::vector<std::unique_ptr<GeneratedRows>> told;
        for (PlainKv* kv : {&with, &without, &expected}) {
          kv->reserve_generated(3, under_test.num_generated);
          told.push_back(kv->tell_rows(0, rows));
        }
        for (int step = 0; step < under_test.num_generated; ++step) {
          const Qkv qkv = draw(3, heads, type, device);
          const at::Tensor wanted =
              expected.attend_generated(*told[2], positions, on_cpu(qkv)).to(at::kFloat);
          const auto difference = [&](const at::Tensor& values) {
            return (values.cpu().to(at::kFloat) - wanted).abs().max().item<double>();
          };
          const double bound = type == at::kFloat ? 1e-4 : 0.04;
          const at::Tensor there = positions.to(device);
          CHECK(difference(with.attend_generated(*told[0], there, qkv)) < bound);
          CHECK(difference(without.attend_generated(*told[1], there, qkv)) < bound);
          positions.add_(1);
        }
      }
    }
  }
}
