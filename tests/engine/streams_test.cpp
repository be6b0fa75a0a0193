// Whatever is shared, the result is the same: variants and requests of a unit together, or each by
// itself.

#include <algorithm>

#include "catch.hpp"
#include "engine/all_savings.hpp"
#include "engine/random_model.hpp"

using namespace prune_sweep;

namespace {

std::vector<Variant> variants_of(const std::vector<std::string>& edits, int32_t num_layers) {
  std::vector<Variant> variants;
  for (const std::string& text : edits) variants.push_back(variant_of(text, num_layers));
  return variants;
}

/// Every kind of edit, alone and with others, doubles included.
const std::vector<std::string> kEdits{
    "",
    "0 drop",
    "1 drop",
    "3 drop",
    "1 drop, 3 drop",
    "1 drop-attention",
    "2 drop-mlp",
    "0-3 magnitude 30",
    "0-3 magnitude 70 row",
    "0-3 magnitude 50 global",
    "1-2 magnitude 50 global",
    "2 magnitude 100",
    "0 drop-mlp, 1 drop-attention, 2 magnitude 12.5, 3 drop",
    "1 drop",
    "0-3 magnitude 0",
    "0-3 drop",
};

/// Requests of one unit: a long shared prefix and own parts that cross the attention's and the
/// decoder's blocks.
std::vector<LoglikRequest> requests_with_prefix(size_t prefix_len) {
  const std::vector<int32_t> prefix = random_ids(prefix_len, 7);
  std::vector<LoglikRequest> requests;
  uint32_t seed = 100;
  for (const size_t own : {1, 2, 17, 60, 127, 128, 129, 300}) {
    requests.push_back({joined(prefix, random_ids(own, ++seed)), {{1}, {2}, {3}, {4}}});
  }
  requests.push_back({joined(prefix, random_ids(40, 102)), {{5, 6, 7}, {8}, {5, 9}}});
  requests.push_back(requests[3]);
  return requests;
}

struct Setting {
  DType dtype;
  int threads;
  size_t prefix_len;
};

void check_equal(const ContinuationScore& together, const ContinuationScore& alone) {
  CHECK(same_bits(together.loglik, alone.loglik));
  CHECK(together.greedy == alone.greedy);
}

}  // namespace

TEST_CASE("a unit's scores are bit for bit those of each variant and request alone") {
  const auto [dtype, threads, prefix_len] = GENERATE(
      Setting{DType::kBfloat16, 1, 150},
      Setting{DType::kBfloat16, 2, 0},
      Setting{DType::kFloat32, 1, 0},
      Setting{DType::kFloat32, 2, 150});
  const RandomShape shape{.layers = 4, .heads = 6, .kv_heads = 3, .head_dim = 8, .tied = true};
  const RandomModel model(shape);
  Engine engine(model.path(), {dtype, DeviceKind::kCpu, threads});
  const std::vector<Variant> variants = variants_of(kEdits, 4);
  const std::vector<LoglikRequest> requests = requests_with_prefix(prefix_len);

  const auto together = engine.loglik(variants, requests);
  REQUIRE(together.size() == variants.size());
  for (size_t v = 0; v < variants.size(); ++v) {
    REQUIRE(together[v].size() == requests.size());
    for (size_t r = 0; r < requests.size(); ++r) {
      CAPTURE(variants[v].name, r, prefix_len, threads);
      const auto alone = engine.loglik({&variants[v], 1}, {&requests[r], 1});
      REQUIRE(together[v][r].size() == requests[r].continuations.size());
      for (size_t c = 0; c < together[v][r].size(); ++c)
        check_equal(together[v][r][c], alone[0][0][c]);
    }
  }
  SECTION("equal models have equal scores, different ones do not") {
    const auto score_of = [&](const std::string& edits) {
      const auto found = std::find(kEdits.begin(), kEdits.end(), edits);
      return together[static_cast<size_t>(found - kEdits.begin())][3][0].loglik;
    };
    CHECK(same_bits(together[2][3][0].loglik, together[13][3][0].loglik));
    CHECK(same_bits(score_of(""), score_of("0-3 magnitude 0")));
    CHECK(score_of("") != score_of("1 drop"));
    CHECK(score_of("0-3 magnitude 30") != score_of(""));
    CHECK(score_of("0-3 magnitude 50 global") != score_of("1-2 magnitude 50 global"));
    CHECK(score_of("1 drop-attention") != score_of("1 drop"));
  }
}

TEST_CASE("scores do not depend on what the engine saves") {
  const DType dtype = GENERATE(DType::kBfloat16, DType::kFloat32);
  const RandomModel model({.layers = 4, .hidden = 96, .intermediate = 160, .head_dim = 32});
  const std::vector<Variant> variants = variants_of(kEdits, 4);
  const std::vector<LoglikRequest> requests = requests_with_prefix(150);
  const auto score_with = [&](const Savings& savings) {
    Engine engine(model.path(), {dtype, DeviceKind::kCpu, 2, savings});
    return engine.loglik(variants, requests);
  };
  const auto expected = score_with({});
  for (const Savings& savings : all_savings()) {
    const auto scores = score_with(savings);
    for (size_t v = 0; v < variants.size(); ++v) {
      for (size_t r = 0; r < requests.size(); ++r) {
        for (size_t c = 0; c < expected[v][r].size(); ++c) {
          CAPTURE(variants[v].name, r, c, savings.row_block);
          check_equal(scores[v][r][c], expected[v][r][c]);
        }
      }
    }
  }
}

TEST_CASE("requests are scored in as many parts as there is room for, with the same results") {
  const RandomModel model({.layers = 4, .hidden = 96, .intermediate = 160, .head_dim = 32});
  const std::vector<Variant> variants = variants_of(kEdits, 4);
  const std::vector<LoglikRequest> requests = requests_with_prefix(150);
  int num_batches = 0;
  EngineHooks hooks;
  hooks.should_stop = [&num_batches] {
    ++num_batches;
    return true;  // which scores do not heed
  };
  const auto score_within = [&](int64_t bytes) {
    EngineSettings settings{DType::kBfloat16, DeviceKind::kCpu, 2};
    settings.max_unit_bytes = bytes;
    num_batches = 0;
    return Engine(model.path(), settings, hooks).loglik(variants, requests);
  };
  const auto expected = score_within(int64_t{1} << 30);
  CHECK(num_batches == 0);
  for (const int64_t bytes : {int64_t{2'500'000}, int64_t{1}}) {
    const auto scores = score_within(bytes);
    CHECK(num_batches > 0);
    for (size_t v = 0; v < variants.size(); ++v) {
      REQUIRE(scores[v].size() == requests.size());
      for (size_t r = 0; r < requests.size(); ++r) {
        for (size_t c = 0; c < expected[v][r].size(); ++c) {
          check_equal(scores[v][r][c], expected[v][r][c]);
        }
      }
    }
  }
}

TEST_CASE("the engine tells where its time went") {
  const RandomModel model({.layers = 4, .hidden = 96, .intermediate = 160, .head_dim = 32});
  Engine engine(model.path(), {DType::kBfloat16, DeviceKind::kCpu, 1});
  const std::vector<Variant> variants = variants_of({"", "0-3 magnitude 50"}, 4);
  engine.loglik(variants, requests_with_prefix(150));
  PhaseSeconds seconds = engine.take_phases();
  for (const Phase phase : {Phase::kPrefix, Phase::kQuestions, Phase::kHead, Phase::kEdit}) {
    CHECK(seconds_of(seconds, phase) > 0);
  }
  CHECK(seconds_of(seconds, Phase::kDecode) == 0);
  CHECK(engine.take_phases() == PhaseSeconds{});
  // Nothing is shared: no prefix.
  engine.loglik(variants, std::vector{requests_with_prefix(150).front()});
  seconds = engine.take_phases();
  CHECK(seconds_of(seconds, Phase::kPrefix) == 0);
  CHECK(seconds_of(seconds, Phase::kQuestions) > 0);
}

TEST_CASE("scores do not depend on the number of threads") {
  const DType dtype = GENERATE(DType::kBfloat16, DType::kFloat32);
  const RandomModel model({.layers = 2, .hidden = 96, .intermediate = 192, .head_dim = 32});
  const std::vector<Variant> variants = variants_of({"", "1 drop", "0-1 magnitude 40"}, 2);
  const std::vector<LoglikRequest> requests = requests_with_prefix(64);
  Engine one(model.path(), {dtype, DeviceKind::kCpu, 1});
  const auto with_one = one.loglik(variants, requests);
  Engine two(model.path(), {dtype, DeviceKind::kCpu, 2});
  const auto with_two = two.loglik(variants, requests);
  for (size_t v = 0; v < variants.size(); ++v) {
    for (size_t r = 0; r < requests.size(); ++r) {
      for (size_t c = 0; c < with_one[v][r].size(); ++c) {
        CAPTURE(v, r, c);
        check_equal(with_two[v][r][c], with_one[v][r][c]);
      }
    }
  }
}

TEST_CASE("the order of variants and requests does not matter") {
  const RandomModel model({});
  Engine engine(model.path(), {DType::kBfloat16, DeviceKind::kCpu, 1});
  std::vector<Variant> variants =
      variants_of({"", "0 drop", "2 drop", "0-2 magnitude 60 global"}, 3);
  std::vector<LoglikRequest> requests = requests_with_prefix(33);
  const auto forward = engine.loglik(variants, requests);
  std::reverse(variants.begin(), variants.end());
  std::reverse(requests.begin(), requests.end());
  const auto backward = engine.loglik(variants, requests);
  for (size_t v = 0; v < variants.size(); ++v) {
    for (size_t r = 0; r < requests.size(); ++r) {
      const auto& other = backward[variants.size() - 1 - v][requests.size() - 1 - r];
      for (size_t c = 0; c < other.size(); ++c) check_equal(forward[v][r][c], other[c]);
    }
  }
}

TEST_CASE("a continuation's log-likelihood is the sum over its tokens, each after all before it") {
  const RandomModel model({});
  Engine engine(model.path(), {DType::kFloat32, DeviceKind::kCpu, 1});
  const std::vector<Variant> variants{variant_of("", 3)};
  const std::vector<int32_t> context = random_ids(20, 3);
  const std::vector<int32_t> continuation{11, 22, 33, 44};
  const LoglikRequest whole{context, {continuation}};
  double sum = 0;
  for (size_t i = 0; i < continuation.size(); ++i) {
    std::vector<int32_t> before = context;
    before.insert(
        before.end(), continuation.begin(), continuation.begin() + static_cast<std::ptrdiff_t>(i));
    for (const auto& [id, logprob] : engine.next_token(variants[0], before, 100)) {
      if (id == continuation[i]) sum += logprob;
    }
  }
  CHECK(engine.loglik(variants, {&whole, 1})[0][0][0].loglik == Approx(sum).epsilon(1e-6));
}

TEST_CASE("the greedy flag says that every token was the likeliest") {
  const RandomModel model({});
  Engine engine(model.path(), {DType::kBfloat16, DeviceKind::kCpu, 1});
  const std::vector<Variant> variants{variant_of("", 3)};
  std::vector<int32_t> context = random_ids(9, 5);
  std::vector<int32_t> likeliest;
  for (int i = 0; i < 3; ++i) {
    const auto best = engine.next_token(variants[0], joined(context, likeliest), 100);
    REQUIRE(best.size() == 100);
    CHECK(std::is_sorted(best.begin(), best.end(), [](const auto& a, const auto& b) {
      return a.second > b.second;
    }));
    likeliest.push_back(best[0].first);
  }
  std::vector<int32_t> wrong_end = likeliest;
  wrong_end.back() = (wrong_end.back() + 1) % 96;
  std::vector<int32_t> wrong_start = likeliest;
  wrong_start.front() = (wrong_start.front() + 1) % 96;
  const LoglikRequest request{context, {likeliest, wrong_end, wrong_start, {likeliest[0]}}};
  const auto scores = engine.loglik(variants, {&request, 1})[0][0];
  CHECK(scores[0].greedy);
  CHECK_FALSE(scores[1].greedy);
  CHECK_FALSE(scores[2].greedy);
  CHECK(scores[3].greedy);
}

TEST_CASE("with every layer dropped only embedding, final norm and head are left") {
  const RandomShape shape{.layers = 2, .tied = true};
  const RandomModel model(shape);
  Engine engine(model.path(), {DType::kFloat32, DeviceKind::kCpu, 1});
  const Variant empty = variant_of("0-1 drop", 2);
  // Only the last token counts then.
  const auto a = engine.next_token(empty, std::vector<int32_t>{1, 2, 3}, 5);
  const auto b = engine.next_token(empty, std::vector<int32_t>{3}, 5);
  CHECK(a == b);
  // Dropping attention and then the MLP of each layer is the same as dropping both.
  const auto c = engine.next_token(variant_of("0 drop, 1 drop", 2), std::vector<int32_t>{9, 3}, 5);
  CHECK(a == c);
}

TEST_CASE("empty lists of variants and requests give empty results") {
  const RandomModel model({});
  Engine engine(model.path(), {DType::kBfloat16, DeviceKind::kCpu, 1});
  const std::vector<Variant> variants{variant_of("", 3)};
  CHECK(engine.loglik({}, requests_with_prefix(3)).empty());
  const auto none = engine.loglik(variants, {});
  REQUIRE(none.size() == 1);
  CHECK(none[0].empty());
}

TEST_CASE("the engine tells that it lives while it works") {
  const RandomModel model({});
  int calls = 0;
  const EngineHooks hooks{.on_progress = [&calls] { ++calls; }};
  Engine engine(model.path(), {DType::kBfloat16, DeviceKind::kCpu, 1}, hooks);
  const std::vector<Variant> variants = variants_of({"", "1 drop"}, 3);
  engine.loglik(variants, requests_with_prefix(3));
  // At least once for every layer pass.
  CHECK(calls >= 5);
  calls = 0;
  const GenerationRequest request{{1, 2, 3}, 6, {}};
  engine.generate(variants, {&request, 1}, Tokenizer::read(model.path()));
  CHECK(calls >= 5 + 6 * 3);
}
