#include "engine/attention.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cstring>

#include "catch.hpp"
#include "engine/plain_attention.hpp"
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

/// Attention of all rows of one stream.
at::Tensor attend_all(const Qkv& qkv, const PackedRows& packed) {
  const KvLayout layout(packed);
  KvBlocks kv;
  fill(kv, qkv.k, qkv.v, layout);
  return attend_packed(qkv.q, all_queries(packed), kv, layout);
}

TEST_CASE("attention of packed rows agrees with the plain reference") {
  at::set_num_threads(1);
  at::manual_seed(1);
  for (const Heads& shape : kHeads) {
    for (const size_t prefix : {0, 3, 128, 200}) {
      const PackedRows packed = packed_of(prefix, {1, 5, 130, 64});
      CAPTURE(shape.heads, shape.kv_heads, shape.head_dim, prefix);
      const Qkv exact = random_qkv(packed.num_rows(), shape, at::kFloat);
      CHECK(
          largest_difference(attend_all(exact, packed), plain::attend_packed(exact, packed)) <
          1e-5);
      const Qkv rounded = random_qkv(packed.num_rows(), shape, at::kBFloat16);
      CHECK(
          largest_difference(attend_all(rounded, packed), plain::attend_packed(rounded, packed)) <
          0.04);
    }
  }
}

TEST_CASE("some rows' attention has the bits that it has among all rows") {
  at::manual_seed(4);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Heads& shape : kHeads) {
      const PackedRows packed = packed_of(140, {1, 5, 130});
      const KvLayout layout(packed);
      const Qkv qkv = random_qkv(packed.num_rows(), shape, type);
      KvBlocks kv;
      fill(kv, qkv.k, qkv.v, layout);
      const at::Tensor all = attend_packed(qkv.q, all_queries(packed), kv, layout);
      const std::vector<int64_t> rows{3, 139, 140, 145, 200, packed.num_rows() - 1, 141};
      const at::Tensor index = at::tensor(rows, at::kLong);
      CAPTURE(c10::toString(type), shape.heads, shape.kv_heads, shape.head_dim);
      CHECK(same_bits(
          attend_packed(qkv.q.index_select(0, index), queries_of(packed, rows), kv, layout),
          all.index_select(0, index)));
    }
  }
}

TEST_CASE("a sequence's attention has the same bits whatever it shares with others") {
  at::manual_seed(2);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Heads& shape : kHeads) {
      for (const size_t prefix : {1, 100, 128, 129, 300}) {
        const size_t own = 150;
        const PackedRows packed = packed_of(prefix, {7, own, 1});
        const Qkv qkv = random_qkv(packed.num_rows(), shape, type);
        at::set_num_threads(2);
        const at::Tensor together = attend_all(qkv, packed);
        // The second sequence by itself, in one piece.
        const int64_t first = packed.sequences[1].first_row;
        const auto alone_of = [&](const at::Tensor& from) {
          return at::cat({from.narrow(0, 0, packed.prefix_len), from.narrow(0, first, own)});
        };
        const Qkv alone{alone_of(qkv.q), alone_of(qkv.k), alone_of(qkv.v)};
        const PackedRows one =
            pack_rows(std::vector<std::vector<int32_t>>{random_ids(prefix + own, 9)});
        at::set_num_threads(1);
        const at::Tensor by_itself = attend_all(alone, one);
        CAPTURE(c10::toString(type), shape.heads, shape.kv_heads, shape.head_dim, prefix);
        CHECK(same_bits(by_itself, alone_of(together)));
      }
    }
  }
}

TEST_CASE("attention to what texts have stored agrees with the plain reference") {
  at::manual_seed(3);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Heads& shape : kHeads) {
      for (const size_t prefix : {0, 130}) {
        constexpr int64_t kMostOwn = 170;
        const PackedRows packed = packed_of(prefix, {20, 140, 3});
        const KvLayout layout(packed);
        std::vector<Qkv> prompts;
        std::vector<KvBlocks> stored(2);
        for (KvBlocks& kv : stored) {
          const Qkv& prompt = prompts.emplace_back(random_qkv(packed.num_rows(), shape, type));
          fill(kv, prompt.k, prompt.v, layout);
        }
        // Some prompts end before their sequence does: a solution stands behind them.
        struct Text {
          size_t stream;
          int64_t run, prompt_len, slot, num_own;
        };
        const auto base = static_cast<int64_t>(prefix);
        const std::vector<Text> texts{
            {0, 1, base + 140, 0, 1},
            {1, 0, base + 11, 1, 17},
            {0, 0, base + 20, 4, 2},
            {0, 1, base + 139, 3, kMostOwn},
            {1, 2, base + 3, 2, 9}};
        const auto own_of = [&] {
          return at::randn({5, shape.kv_heads, kMostOwn, shape.head_dim}).to(type);
        };
        const at::Tensor own_k = own_of();
        const at::Tensor own_v = own_of();
        GeneratedKv generated(5, kMostOwn, prompts.front().k);
        // Slots grow together, and stop one after the other.
        for (int64_t token = 0; token < kMostOwn; ++token) {
          std::vector<GeneratedKv::Place> places;
          std::vector<int64_t> slots;
          for (const Text& text : texts) {
            if (token >= text.num_own) continue;
            places.push_back({text.slot, token});
            slots.push_back(text.slot);
          }
          const at::Tensor index = at::tensor(slots, at::kLong);
          const auto of_token = [&](const at::Tensor& own) {
            return own.index_select(0, index).select(2, token).contiguous();
          };
          generated.put(places, of_token(own_k), of_token(own_v));
        }
        std::vector<StoredRow> rows;
        for (const Text& text : texts) {
          rows.push_back(
              {.prompts = &stored[text.stream],
               .run = text.run,
               .prompt_len = text.prompt_len,
               .slot = text.slot,
               .num_generated = text.num_own});
        }
        const at::Tensor q = at::randn({std::ssize(rows), shape.heads, shape.head_dim}).to(type);
        at::set_num_threads(2);
        const at::Tensor together = attend_stored(q, rows, layout, generated);
        at::set_num_threads(1);
        for (size_t i = 0; i < texts.size(); ++i) {
          const Text& text = texts[i];
          const Qkv& prompt = prompts[text.stream];
          const int64_t first = packed.sequences[static_cast<size_t>(text.run)].first_row;
          const auto keys_of = [&](const at::Tensor& of_prompt, const at::Tensor& of_own) {
            return at::cat(
                {of_prompt.narrow(0, 0, packed.prefix_len),
                 of_prompt.narrow(0, first, text.prompt_len - packed.prefix_len),
                 of_own[text.slot].narrow(1, 0, text.num_own).transpose(0, 1)});
          };
          const at::Tensor own_q = q.narrow(0, static_cast<int64_t>(i), 1);
          const at::Tensor row = together.narrow(0, static_cast<int64_t>(i), 1);
          CAPTURE(c10::toString(type), shape.heads, shape.kv_heads, shape.head_dim, prefix, i);
          CHECK(
              largest_difference(
                  row,
                  plain::attend_stored(own_q, keys_of(prompt.k, own_k), keys_of(prompt.v, own_v))) <
              (type == at::kFloat ? 1e-5 : 0.04));
          CHECK(same_bits(attend_stored(own_q, {rows[i]}, layout, generated), row));
        }
      }
    }
  }
}
