// The backend of any device beside that of the tiles, and its attention beside the yardstick.

#include <ATen/ATen.h>

#include <cmath>

#include "catch.hpp"
#include "engine/all_savings.hpp"
#include "engine/plain/plain_kv.hpp"
#include "engine/plain_attention.hpp"
#include "engine/random_model.hpp"
#include "engine/tile_kv.hpp"
#include "engine/tiles.hpp"

using namespace prune_sweep;

namespace {

constexpr int64_t kHeads = 6;
constexpr int64_t kKvHeads = 3;
constexpr int64_t kHeadDim = 8;

Qkv random_qkv(int64_t rows, at::ScalarType type) {
  return {
      at::randn({rows, kHeads, kHeadDim}).to(type),
      at::randn({rows, kKvHeads, kHeadDim}).to(type),
      at::randn({rows, kKvHeads, kHeadDim}).to(type)};
}

/// Sequences that begin with a prefix and go on differently.
PackedRows packed_of(size_t prefix_len, const std::vector<size_t>& own_lens) {
  const std::vector<int32_t> prefix = random_ids(prefix_len, 1);
  std::vector<std::vector<int32_t>> sequences;
  int32_t first = 1000;
  for (const size_t own : own_lens) {
    std::vector<int32_t> ids = random_ids(own, 2);
    ids.front() = ++first;
    sequences.push_back(joined(prefix, ids));
  }
  return pack_rows(sequences);
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kFloat) - b.to(at::kFloat)).abs().max().item<double>();
}

double tolerance(at::ScalarType type) { return type == at::kFloat ? 1e-5 : 0.04; }

StreamTree tree_of(const std::vector<std::string>& edits, int32_t num_layers) {
  std::vector<Variant> variants;
  for (const std::string& text : edits) variants.push_back(variant_of(text, num_layers));
  return build_stream_tree(variants, num_layers);
}

const std::vector<std::string> kEdits{
    "",
    "0 drop",
    "2 drop",
    "0 drop, 2 drop",
    "1 drop-attention",
    "1 drop-mlp",
    // Edited weights side by side, for shares of rows that are not alike.
    "0-2 magnitude 40",
    "0-2 magnitude 70",
    "0-1 magnitude 40, 2 drop",
    "2 magnitude 10",
    "1-2 magnitude 40 global",
    "0-2 drop"};

std::vector<Variant> all_variants() {
  std::vector<Variant> variants;
  for (const std::string& text : kEdits) variants.push_back(variant_of(text, 3));
  return variants;
}

Engine engine_of(
    const RandomModel& model, Operations operations, DType dtype, const Savings& savings = {}) {
  EngineSettings settings{dtype, DeviceKind::kCpu, 2, savings};
  settings.operations = operations;
  return {model.path(), settings};
}

}  // namespace

TEST_CASE("attention in parts is attention to the whole") {
  at::manual_seed(5);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const size_t prefix : {0, 1, 40}) {
      CAPTURE(c10::toString(type), prefix);
      const PackedRows packed = packed_of(prefix, {1, 5, 30});
      const Qkv first = random_qkv(packed.num_rows(), type);
      const Qkv second = random_qkv(packed.num_rows(), type);
      const at::Tensor of_first = plain::attend_packed(first, packed);
      const at::Tensor of_second = plain::attend_packed(second, packed);
      // In no order, one of the prefix among them where there is one.
      const std::vector<int64_t> wanted{packed.num_rows() - 1, 0, packed.num_rows() / 2};
      const auto check_attention = [&](UnitKv&& kv) {
        const at::Tensor index = at::tensor(wanted, at::kLong);
        const auto wanted_of = [&](const at::Tensor& rows) { return rows.index_select(0, index); };
        const std::vector<int64_t> one{1};
        const std::vector<int64_t> both{0, 1};
        const auto check = [&](const at::Tensor& attended, const at::Tensor& expected) {
          CHECK(largest_difference(attended, expected) < tolerance(type));
        };
        check(kv.attend_prompts(0, one, second, Queries::kAllRows), of_second);
        check(
            kv.attend_prompts(
                0, one, {wanted_of(second.q), second.k, second.v}, Queries::kWantedRows),
            wanted_of(of_second));
        const at::Tensor k = at::cat({first.k, second.k});
        const at::Tensor v = at::cat({first.v, second.v});
        check(
            kv.attend_prompts(0, both, {at::cat({first.q, second.q}), k, v}, Queries::kAllRows),
            at::cat({of_first, of_second}));
        check(
            kv.attend_prompts(
                0,
                both,
                {at::cat({wanted_of(first.q), wanted_of(second.q)}), k, v},
                Queries::kWantedRows),
            at::cat({wanted_of(of_first), wanted_of(of_second)}));
      };
      const StreamTree tree = tree_of({"", "0 drop-mlp"}, 1);
      check_attention(PlainKv(packed, wanted, tree, KeepKv::kNo, at::kCPU));
      if (tiles::arithmetic_of(type) != tiles::Arithmetic::kNone) {
        check_attention(TileKv(packed, wanted, tree, KeepKv::kNo));
      }
    }
  }
}

TEST_CASE("generated tokens read their own prompt and what they have stored") {
  at::manual_seed(6);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const size_t prefix : {0, 30}) {
      CAPTURE(c10::toString(type), prefix);
      const PackedRows packed = packed_of(prefix, {9, 4, 12});
      // Two streams in the layer.
      const StreamTree tree = tree_of({"", "0 drop-mlp"}, 1);
      PlainKv kv(packed, {0}, tree, KeepKv::kYes, at::kCPU);
      std::vector<Qkv> prompts;
      for (const int64_t branch : {0, 1}) {
        prompts.push_back(random_qkv(packed.num_rows(), type));
        kv.attend_prompts(0, std::vector{branch}, prompts.back(), Queries::kAllRows);
      }
      const auto base = static_cast<int64_t>(prefix);
      // The second prompt ends with the prefix where there is one; slots are in no order.
      const std::vector<GeneratedRow> rows{
          {0, 0, base + 9, 2}, {0, 1, prefix > 0 ? base : 2, 0}, {1, 2, base + 11, 1}};
      const auto told = kv.tell_rows(0, rows);
      at::Tensor positions = at::tensor({base + 9, prefix > 0 ? base : 2, base + 11}, at::kInt);
      kv.reserve_generated(3, 4);
      std::vector<Qkv> steps;
      for (int64_t step = 0; step < 4; ++step) {
        steps.push_back(random_qkv(std::ssize(rows), type));
        const at::Tensor attended = kv.attend_generated(*told, positions, steps.back());
        for (size_t i = 0; i < rows.size(); ++i) {
          const GeneratedRow& row = rows[i];
          const auto at = static_cast<int64_t>(i);
          const auto stored = [&](at::Tensor Qkv::*of) {
            const at::Tensor& prompt = prompts[row.branch].*of;
            const int64_t first = packed.sequences[static_cast<size_t>(row.run)].first_row;
            std::vector<at::Tensor> all{
                prompt.narrow(0, 0, base), prompt.narrow(0, first, row.prompt_len - base)};
            for (const Qkv& before : steps) all.push_back((before.*of).narrow(0, at, 1));
            return at::cat(all);
          };
          CHECK(
              largest_difference(
                  attended.narrow(0, at, 1),
                  plain::attend_stored(
                      steps.back().q.narrow(0, at, 1), stored(&Qkv::k), stored(&Qkv::v))) <
              tolerance(type));
        }
        positions.add_(1);
      }
    }
  }
}

TEST_CASE("plain operations score as the tiles do, whatever is saved") {
  const RandomModel model(RandomShape{.tied = GENERATE(false, true)});
  const std::vector<int32_t> prefix = random_ids(40, 3);
  std::vector<LoglikRequest> requests;
  for (const size_t own : {1, 17, 60}) {
    requests.push_back({joined(prefix, random_ids(own, 30 + own)), {{7}, {8, 9}, {10, 11, 12}}});
  }
  const std::vector<Variant> variants = all_variants();
  const auto expected =
      engine_of(model, Operations::kFastest, DType::kFloat32).loglik(variants, requests);
  for (const Savings& savings : all_savings()) {
    const auto scores =
        engine_of(model, Operations::kPlain, DType::kFloat32, savings).loglik(variants, requests);
    for (size_t v = 0; v < variants.size(); ++v) {
      for (size_t r = 0; r < requests.size(); ++r) {
        for (size_t c = 0; c < requests[r].continuations.size(); ++c) {
          CAPTURE(variants[v].name, r, c);
          CHECK(std::abs(scores[v][r][c].loglik - expected[v][r][c].loglik) < 1e-4);
          CHECK(scores[v][r][c].greedy == expected[v][r][c].greedy);
        }
      }
    }
  }
}

TEST_CASE("plain operations generate what the tiles do, whatever is saved") {
  const RandomModel model(RandomShape{.heads = 4, .kv_heads = 2, .head_dim = 20, .vocab = 104});
  const Tokenizer tokenizer = Tokenizer::read(model.path());
  const std::vector<int32_t> prefix = random_ids(GENERATE(0, 50), 3);
  std::vector<GenerationRequest> requests;
  for (const size_t own : {1, 20, 70}) {
    requests.push_back({joined(prefix, random_ids(own, 20 + own)), 12, {}, {7, 8, 9}});
  }
  const std::vector<Variant> variants = all_variants();
  const auto expected = engine_of(model, Operations::kFastest, DType::kFloat32)
                            .generate(variants, requests, tokenizer);
  for (const Savings& savings : all_savings()) {
    const auto answers = engine_of(model, Operations::kPlain, DType::kFloat32, savings)
                             .generate(variants, requests, tokenizer);
    for (size_t v = 0; v < variants.size(); ++v) {
      for (size_t r = 0; r < requests.size(); ++r) {
        CAPTURE(variants[v].name, r);
        CHECK(answers[v][r].ids == expected[v][r].ids);
        CHECK(answers[v][r].stop == expected[v][r].stop);
        CHECK(std::abs(answers[v][r].solution_loglik - expected[v][r].solution_loglik) < 1e-4);
      }
    }
  }
}

TEST_CASE("in bfloat16 plain operations stay within its precision of the tiles") {
  const RandomModel model(RandomShape{});
  const std::vector<LoglikRequest> requests{
      {random_ids(60, 1), {{7}, {8}}}, {random_ids(33, 2), {{9, 10}}}};
  const std::vector<Variant> variants = all_variants();
  const auto tiles =
      engine_of(model, Operations::kFastest, DType::kBfloat16).loglik(variants, requests);
  const auto plain =
      engine_of(model, Operations::kPlain, DType::kBfloat16).loglik(variants, requests);
  const auto exact =
      engine_of(model, Operations::kPlain, DType::kFloat32).loglik(variants, requests);
  double of_tiles = 0;
  double of_plain = 0;
  for (size_t v = 0; v < variants.size(); ++v) {
    for (size_t r = 0; r < requests.size(); ++r) {
      for (size_t c = 0; c < requests[r].continuations.size(); ++c) {
        const double wanted = exact[v][r][c].loglik;
        of_tiles = std::max(of_tiles, std::abs(tiles[v][r][c].loglik - wanted));
        of_plain = std::max(of_plain, std::abs(plain[v][r][c].loglik - wanted));
      }
    }
  }
  CHECK(of_plain < 2 * of_tiles);
}

TEST_CASE("a unit that memory does not suffice for is taken in parts, with the same results") {
  const RandomModel model(RandomShape{.vocab = 104});
  const Tokenizer tokenizer = Tokenizer::read(model.path());
  const std::vector<LoglikRequest> scored{
      {random_ids(20, 1), {{7}, {8}}}, {random_ids(33, 2), {{9, 10}}}, {random_ids(5, 3), {{1}}}};
  const std::vector<GenerationRequest> generated{
      {random_ids(20, 1), 6, {}}, {random_ids(9, 2), 6, {}}, {random_ids(12, 3), 6, {}}};
  const std::vector<Variant> variants = all_variants();
  int failures_left = 0;
  EngineHooks hooks;
  hooks.on_progress = [&failures_left] {
    if (failures_left-- > 0) throw c10::OutOfMemoryError({__func__, __FILE__, __LINE__}, "test");
  };
  Engine engine(model.path(), {DType::kBfloat16, DeviceKind::kCpu, 1}, hooks);
  const auto scores = engine.loglik(variants, scored);
  const auto answers = engine.generate(variants, generated, tokenizer);
  for (const int failures : {1, 2, 3, 4}) {
    CAPTURE(failures);
    failures_left = failures;
    const auto scores_in_parts = engine.loglik(variants, scored);
    failures_left = failures;
    const auto answers_in_parts = engine.generate(variants, generated, tokenizer);
    for (size_t v = 0; v < variants.size(); ++v) {
      for (size_t r = 0; r < scored.size(); ++r) {
        CHECK(scores_in_parts[v][r][0].loglik == scores[v][r][0].loglik);
        CHECK(answers_in_parts[v][r].ids == answers[v][r].ids);
      }
    }
  }
  // Scores are there for all requests, whoever wants to stop between two batches.
  hooks.should_stop = [] { return true; };
  Engine stopped(model.path(), {DType::kBfloat16, DeviceKind::kCpu, 1}, hooks);
  failures_left = 2;
  for (const auto& of_variant : stopped.loglik(variants, scored)) {
    CHECK(of_variant.size() == scored.size());
  }
  // Nothing is left to halve.
  failures_left = 1000;
  CHECK_THROWS_AS(engine.loglik(variants, scored), c10::OutOfMemoryError);
  failures_left = 1000;
  CHECK_THROWS_AS(engine.generate(variants, generated, tokenizer), c10::OutOfMemoryError);
}

TEST_CASE("rows of an odd number of elements are computed, if need be by plain operations") {
  const RandomModel model({.hidden = 49, .intermediate = 81}, "BF16");
  const Tokenizer tokenizer = Tokenizer::read(model.path());
  const LoglikRequest scored{random_ids(20, 1), {{7}, {8, 9}}};
  const GenerationRequest generated{random_ids(33, 2), 6, {}};
  const std::vector<Variant> variants = all_variants();
  for (const DType dtype : {DType::kBfloat16, DType::kFloat32}) {
    EngineSettings settings{dtype, DeviceKind::kCpu, 1};
    Engine fastest(model.path(), settings);
    settings.operations = Operations::kPlain;
    Engine plain(model.path(), settings);
    const auto scores = fastest.loglik(variants, {&scored, 1});
    const auto expected = plain.loglik(variants, {&scored, 1});
    const auto answers = fastest.generate(variants, {&generated, 1}, tokenizer);
    for (size_t v = 0; v < variants.size(); ++v) {
      CAPTURE(variants[v].name, name(dtype));
      for (size_t i = 0; i < 2; ++i) {
        CHECK(
            std::abs(scores[v][0][i].loglik - expected[v][0][i].loglik) <
            (dtype == DType::kFloat32 ? 1e-3 : 0.05));
      }
      CHECK(answers[v][0].ids.size() == 6);
    }
  }
}
