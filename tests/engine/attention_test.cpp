#include "engine/attention.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstring>

#include "catch.hpp"
#include "engine/random_model.hpp"

using namespace prune_sweep;

namespace {

struct Heads {
  int64_t heads, kv_heads, head_dim;
};
const std::vector<Heads> kHeads{
    {1, 1, 2}, {2, 2, 16}, {4, 2, 20}, {8, 2, 32}, {6, 3, 8}, {16, 8, 128}};

Qkv random_qkv(int64_t rows, const Heads& shape, at::ScalarType type) {
  return {
      at::randn({rows, shape.heads, shape.head_dim}).to(type),
      at::randn({rows, shape.kv_heads, shape.head_dim}).to(type),
      at::randn({rows, shape.kv_heads, shape.head_dim}).to(type)};
}

PackedRows packed_of(size_t prefix_len, const std::vector<size_t>& own_lens) {
  const std::vector<int32_t> prefix = random_ids(prefix_len, 1);
  std::vector<std::vector<int32_t>> sequences;
  int32_t first = 1000;
  for (const size_t own : own_lens) {
    std::vector<int32_t> ids = random_ids(own, 2);
    ids.front() = ++first;  // the own parts begin differently
    sequences.push_back(joined(prefix, ids));
  }
  return pack_rows(sequences);
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.contiguous();
  const at::Tensor y = b.contiguous();
  return x.sizes() == y.sizes() &&
         std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kFloat) - b.to(at::kFloat)).abs().max().item<double>();
}

}  // namespace

TEST_CASE(
    "packing keeps every token once, with the longest shared prefix that leaves each a token") {
  const PackedRows rows =
      pack_rows(std::vector<std::vector<int32_t>>{{1, 2, 3, 4}, {1, 2, 3}, {1, 2, 9, 9, 9}});
  CHECK(rows.prefix_len == 2);
  CHECK(rows.ids == std::vector<int32_t>{1, 2, 3, 4, 3, 9, 9, 9});
  CHECK(rows.positions == std::vector<int32_t>{0, 1, 2, 3, 2, 2, 3, 4});
  CHECK(rows.row_of(0, 1) == 1);
  CHECK(rows.row_of(0, 3) == 3);
  CHECK(rows.row_of(1, 2) == 4);
  CHECK(rows.row_of(2, 4) == 7);
  CHECK(pack_rows(std::vector<std::vector<int32_t>>{{1, 2}, {1, 2}}).prefix_len == 1);
  CHECK(pack_rows(std::vector<std::vector<int32_t>>{{1, 2, 3}}).prefix_len == 0);
  CHECK(pack_rows(std::vector<std::vector<int32_t>>{{1}, {1, 2, 3}}).prefix_len == 0);
}

TEST_CASE("attention of packed rows agrees with the plain reference") {
  at::set_num_threads(1);
  at::manual_seed(1);
  for (const Heads& shape : kHeads) {
    for (const size_t prefix : {0, 3, 128, 200}) {
      const PackedRows packed = packed_of(prefix, {1, 5, 130, 64});
      for (const int64_t streams : {1, 3}) {
        const int64_t rows = streams * packed.num_rows();
        CAPTURE(shape.heads, shape.kv_heads, shape.head_dim, prefix, streams);
        const Qkv exact = random_qkv(rows, shape, at::kFloat);
        CHECK(
            largest_difference(attend_packed(exact, packed), plain::attend_packed(exact, packed)) <
            1e-5);
        const Qkv rounded = random_qkv(rows, shape, at::kBFloat16);
        CHECK(
            largest_difference(
                attend_packed(rounded, packed), plain::attend_packed(rounded, packed)) < 0.04);
      }
    }
  }
}

TEST_CASE("a sequence's attention has the same bits whatever it shares with others") {
  at::set_num_threads(1);
  at::manual_seed(2);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Heads& shape : kHeads) {
      for (const size_t prefix : {1, 100, 128, 129, 300}) {
        const size_t own = 150;
        const PackedRows packed = packed_of(prefix, {7, own, 1});
        const Qkv qkv = random_qkv(packed.num_rows(), shape, type);
        const at::Tensor together = attend_packed(qkv, packed);
        // The second sequence by itself, in one piece.
        const int64_t first = packed.sequences[1].first_row;
        const auto alone_of = [&](const at::Tensor& from) {
          return at::cat({from.narrow(0, 0, packed.prefix_len), from.narrow(0, first, own)});
        };
        const Qkv alone{alone_of(qkv.q), alone_of(qkv.k), alone_of(qkv.v)};
        const PackedRows one =
            pack_rows(std::vector<std::vector<int32_t>>{random_ids(prefix + own, 9)});
        const at::Tensor by_itself = attend_packed(alone, one);
        CAPTURE(c10::toString(type), shape.heads, shape.kv_heads, shape.head_dim, prefix);
        CHECK(same_bits(by_itself, alone_of(together)));
      }
    }
  }
}

TEST_CASE(
    "attention to stored keys agrees with the plain reference and does not depend on how they are "
    "cut") {
  at::manual_seed(3);
  for (const Heads& shape : kHeads) {
    const Qkv prompt = random_qkv(300, shape, at::kFloat);
    const Qkv own = random_qkv(50, shape, at::kFloat);
    const at::Tensor q = at::randn({3, shape.heads, shape.head_dim});
    const std::vector<KvSpans> spans{
        {KvSpan{&prompt.k, &prompt.v, 0, 100},
         KvSpan{&prompt.k, &prompt.v, 100, 57},
         KvSpan{&own.k, &own.v, 3, 9}},
        {KvSpan{}, KvSpan{&prompt.k, &prompt.v, 5, 1}, KvSpan{&own.k, &own.v, 0, 1}},
        {KvSpan{&prompt.k, &prompt.v, 0, 157}, KvSpan{}, KvSpan{&own.k, &own.v, 3, 9}}};
    CAPTURE(shape.heads, shape.kv_heads, shape.head_dim);
    const at::Tensor result = attend_stored(q, spans);
    CHECK(largest_difference(result, plain::attend_stored(q, spans)) < 1e-5);
    // The first row's keys in two pieces instead of three, by itself.
    CHECK(same_bits(attend_stored(q.narrow(0, 0, 1), {spans[2]}), result.narrow(0, 0, 1)));

    const auto rounded = [](const at::Tensor& from) { return from.to(at::kBFloat16); };
    const Qkv prompt16{rounded(prompt.q), rounded(prompt.k), rounded(prompt.v)};
    const std::vector<KvSpans> spans16{
        {KvSpan{},
         KvSpan{&prompt16.k, &prompt16.v, 0, 299},
         KvSpan{&prompt16.k, &prompt16.v, 299, 1}}};
    const at::Tensor q16 = rounded(q).narrow(0, 0, 1);
    CHECK(
        largest_difference(attend_stored(q16, spans16), plain::attend_stored(q16, spans16)) < 0.04);
  }
}
