// Greedy generation: the same answer in any company, and the rules that end it.

#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "engine/all_savings.hpp"
#include "engine/random_model.hpp"

using namespace prune_sweep;

namespace {

const std::vector<std::string> kEdits{
    "",
    "0 drop",
    "2 drop",
    "1 drop-attention",
    "1 drop-mlp",
    "0-2 magnitude 40",
    "0-2 magnitude 40 global",
    "1-2 magnitude 40 global",
    "0-2 magnitude 80 row",
    "2 drop",
    "0-2 drop"};

std::vector<Variant> all_variants() {
  std::vector<Variant> variants;
  for (const std::string& text : kEdits) variants.push_back(variant_of(text, 3));
  return variants;
}

void check_equal(const Generation& a, const Generation& b) {
  CHECK(a.ids == b.ids);
  CHECK(a.text == b.text);
  CHECK(a.stop == b.stop);
}

/// What a model says next, one token at a time, each from the whole text before it.
std::vector<int32_t> greedy_by_scoring(
    Engine& engine, const Variant& variant, std::vector<int32_t> ids, size_t count) {
  std::vector<int32_t> made;
  while (made.size() < count) {
    made.push_back(engine.next_token(variant, ids, 1).front().first);
    ids.push_back(made.back());
    if (made.back() == 96) break;
  }
  return made;
}

struct Setting {
  DType dtype;
  int threads;
  size_t prefix_len;
};

struct Fixture {
  RandomModel model{RandomShape{.heads = 4, .kv_heads = 2, .head_dim = 20, .vocab = 104}};
  Tokenizer tokenizer = Tokenizer::read(model.path());
  Engine engine(DType dtype, int threads = 1) const {
    return Engine(model.path(), {dtype, DeviceKind::kCpu, threads});
  }
};

}  // namespace

TEST_CASE("an answer is the same alone and among others, token for token") {
  const Fixture fixture;
  const auto [dtype, threads, prefix_len] = GENERATE(
      Setting{DType::kBfloat16, 1, 140},
      Setting{DType::kBfloat16, 2, 0},
      Setting{DType::kFloat32, 1, 0},
      Setting{DType::kFloat32, 2, 140});
  Engine engine = fixture.engine(dtype, threads);
  const std::vector<int32_t> prefix = random_ids(prefix_len, 3);
  std::vector<GenerationRequest> requests;
  uint32_t seed = 0;
  for (const size_t own : {1, 5, 60, 130, 200}) {
    const auto length = static_cast<int32_t>(10 + 7 * seed);
    requests.push_back({joined(prefix, random_ids(own, ++seed)), length, {}});
  }
  const std::vector<Variant> variants = all_variants();
  const auto together = engine.generate(variants, requests, fixture.tokenizer);
  REQUIRE(together.size() == variants.size());
  for (size_t v = 0; v < variants.size(); ++v) {
    REQUIRE(together[v].size() == requests.size());
    for (size_t r = 0; r < requests.size(); ++r) {
      CAPTURE(variants[v].name, r, threads, prefix_len);
      const auto alone = engine.generate({&variants[v], 1}, {&requests[r], 1}, fixture.tokenizer);
      check_equal(together[v][r], alone[0][0]);
      CHECK_FALSE(together[v][r].ids.empty());
    }
  }
}

TEST_CASE("answers do not depend on what the engine saves") {
  const Fixture fixture;
  const DType dtype = GENERATE(DType::kBfloat16, DType::kFloat32);
  const std::vector<int32_t> prefix = random_ids(150, 3);
  std::vector<GenerationRequest> requests;
  for (const size_t own : {1, 40, 130}) {
    requests.push_back({joined(prefix, random_ids(own, 20 + own)), 12, {}, {7, 8, 9}});
  }
  const std::vector<Variant> variants = all_variants();
  const auto answer_with = [&](const Savings& savings) {
    Engine engine(fixture.model.path(), {dtype, DeviceKind::kCpu, 2, savings});
    return engine.generate(variants, requests, fixture.tokenizer);
  };
  const auto expected = answer_with({});
  for (const Savings& savings : all_savings()) {
    const auto answers = answer_with(savings);
    for (size_t v = 0; v < variants.size(); ++v) {
      for (size_t r = 0; r < requests.size(); ++r) {
        CAPTURE(variants[v].name, r);
        check_equal(answers[v][r], expected[v][r]);
        CHECK(same_bits(answers[v][r].solution_loglik, expected[v][r].solution_loglik));
      }
    }
  }
}

TEST_CASE("an engine that should stop answers the first questions, all variants alike") {
  const Fixture fixture;
  const std::vector<int32_t> prefix = random_ids(150, 3);
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < 8; ++i) {
    requests.push_back({joined(prefix, random_ids(20 + i, 40 + i)), 8, {}});
  }
  const std::vector<Variant> variants{variant_of("", 3), variant_of("1 drop", 3)};
  const auto expected =
      fixture.engine(DType::kBfloat16).generate(variants, requests, fixture.tokenizer);
  std::vector<size_t> answered;
  for (int num_batches = 1; num_batches <= 4; ++num_batches) {
    // Room for some of the questions at once.
    EngineSettings settings{DType::kBfloat16, DeviceKind::kCpu, 1};
    settings.max_unit_bytes = 290'000;
    int num_asked = 0;
    const EngineHooks hooks{.should_stop = [&] { return ++num_asked >= num_batches; }};
    Engine engine(fixture.model.path(), settings, hooks);
    const auto answers = engine.generate(variants, requests, fixture.tokenizer);
    REQUIRE(answers.size() == variants.size());
    answered.push_back(answers.front().size());
    for (size_t v = 0; v < variants.size(); ++v) {
      REQUIRE(answers[v].size() == answered.back());
      for (size_t r = 0; r < answers[v].size(); ++r) check_equal(answers[v][r], expected[v][r]);
    }
  }
  CHECK(answered == std::vector<size_t>{4, 8, 8, 8});
}

TEST_CASE("generating with stored keys and values is scoring token by token") {
  const Fixture fixture;
  Engine engine = fixture.engine(DType::kFloat32);
  const std::vector<Variant> variants = all_variants();
  for (const size_t prompt_len : {1, 2, 33, 129}) {
    const std::vector<GenerationRequest> requests{
        {random_ids(prompt_len, 11), 12, {}}, {random_ids(prompt_len + 3, 12), 12, {}}};
    const auto answers = engine.generate(variants, requests, fixture.tokenizer);
    for (size_t v = 0; v < variants.size(); ++v) {
      for (size_t r = 0; r < requests.size(); ++r) {
        CAPTURE(variants[v].name, prompt_len, r);
        CHECK(answers[v][r].ids == greedy_by_scoring(engine, variants[v], requests[r].prompt, 12));
      }
    }
  }
}

TEST_CASE("a solution is scored as a continuation and changes nothing of the answer") {
  const Fixture fixture;
  for (const DType dtype : {DType::kFloat32, DType::kBfloat16}) {
    Engine engine = fixture.engine(dtype);
    const std::vector<Variant> variants = all_variants();
    const std::vector<int32_t> prompt = random_ids(20, 3);
    std::vector<int32_t> longer = prompt;
    longer.push_back(7);
    // The second prompt is the first with the beginning of its solution: what the requests share is
    // longer than the first prompt.
    const std::vector<GenerationRequest> requests{
        {prompt, 9, {}, {7, 8, 9, 10}},
        {longer, 9, {}, {8, 9, 11, 12, 13}},
        {random_ids(4, 5), 9, {}, {1}},
        {random_ids(5, 6), 9, {}, {}}};
    std::vector<GenerationRequest> without = requests;
    for (GenerationRequest& request : without) request.solution.clear();
    const auto answers = engine.generate(variants, requests, fixture.tokenizer);
    const auto expected = engine.generate(variants, without, fixture.tokenizer);
    for (size_t v = 0; v < variants.size(); ++v) {
      for (size_t r = 0; r < requests.size(); ++r) {
        CAPTURE(variants[v].name, r);
        check_equal(answers[v][r], expected[v][r]);
        CHECK(std::isnan(expected[v][r].solution_loglik));
        if (requests[r].solution.empty()) continue;
        const LoglikRequest scored{requests[r].prompt, {requests[r].solution}};
        CHECK(
            answers[v][r].solution_loglik ==
            engine.loglik({&variants[v], 1}, {&scored, 1})[0][0][0].loglik);
      }
    }
  }
}

TEST_CASE("the first token in bfloat16 is the likeliest by float32 logits") {
  const Fixture fixture;
  Engine engine = fixture.engine(DType::kBfloat16);
  const std::vector<Variant> variants{variant_of("", 3)};
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const GenerationRequest request{random_ids(6, seed), 1, {}};
    const auto answer = engine.generate(variants, {&request, 1}, fixture.tokenizer)[0][0];
    const auto best = engine.next_token(variants[0], request.prompt, 2);
    CAPTURE(seed, best[0].second, best[1].second);
    CHECK(answer.ids == std::vector<int32_t>{best[0].first});
  }
}

TEST_CASE("ties go to the lowest id") {
  // Equal rows of the head: zeros everywhere but in two of them.
  const RandomModel model({.layers = 1});
  const std::string file = (model.path() / "model.safetensors").string();
  std::string bytes((std::istreambuf_iterator<char>(std::ifstream(file).rdbuf())), {});
  // The head is the last tensor: 100 rows of 48 values of 2 bytes.
  const size_t row = 48 * 2;
  const size_t head = bytes.size() - 100 * row;
  EngineSettings settings{GENERATE(DType::kBfloat16, DType::kFloat32), DeviceKind::kCpu, 1};
  settings.operations = GENERATE(Operations::kFastest, Operations::kPlain);
  SECTION("all logits equal") {
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(head), bytes.end(), '\0');
    std::ofstream(file, std::ios::binary) << bytes;
    Engine engine(model.path(), settings);
    const std::vector<Variant> variants{variant_of("", 1)};
    const GenerationRequest request{{5, 6}, 1, {}};
    const auto answer = engine.generate(variants, {&request, 1}, Tokenizer::read(model.path()));
    CHECK(answer[0][0].ids == std::vector<int32_t>{0});
    const auto best = engine.next_token(variants[0], request.prompt, 3);
    CHECK(best[0].first == 0);
    CHECK(best[1].first == 1);
    CHECK(best[2].first == 2);
    const LoglikRequest scored{{5, 6}, {{0}, {1}}};
    CHECK(engine.loglik(variants, {&scored, 1})[0][0][0].greedy);
    CHECK_FALSE(engine.loglik(variants, {&scored, 1})[0][0][1].greedy);
  }
  SECTION("the likeliest stands there twice") {
    Engine before(model.path(), settings);
    const std::vector<Variant> variants{variant_of("", 1)};
    const auto best =
        static_cast<size_t>(before.next_token(variants[0], std::vector<int32_t>{5, 6}, 1)[0].first);
    const size_t copy = best > 40 ? best - 40 : best + 40;
    bytes.replace(head + copy * row, row, bytes.substr(head + best * row, row));
    std::filesystem::remove(file);
    std::ofstream(file, std::ios::binary) << bytes;
    Engine engine(model.path(), settings);
    const GenerationRequest request{{5, 6}, 1, {}};
    const auto answer = engine.generate(variants, {&request, 1}, Tokenizer::read(model.path()));
    CHECK(answer[0][0].ids == std::vector<int32_t>{static_cast<int32_t>(std::min(best, copy))});
  }
}

TEST_CASE("an answer ends at the end-of-text token, at a stop string or at its length") {
  const Fixture fixture;
  Engine engine = fixture.engine(DType::kFloat32);
  const std::vector<Variant> variants{variant_of("", 3)};
  // What the model says when nothing stops it but its end-of-text token.
  const auto say =
      [&](const std::vector<int32_t>& prompt, int32_t length, std::vector<std::string> until) {
        const GenerationRequest request{prompt, length, std::move(until)};
        return engine.generate(variants, {&request, 1}, fixture.tokenizer)[0][0];
      };
  std::vector<int32_t> prompt;
  Generation free;
  for (uint32_t seed = 0; free.ids.size() < 30 || free.text.size() < 20; ++seed) {
    REQUIRE(seed < 200);
    prompt = random_ids(8, seed);
    free = say(prompt, 30, {});
  }
  CHECK(free.stop == StopReason::kLength);

  SECTION("length") {
    const Generation shorter = say(prompt, 7, {"no such text"});
    CHECK(shorter.ids == std::vector(free.ids.begin(), free.ids.begin() + 7));
    CHECK(shorter.stop == StopReason::kLength);
    CHECK(free.text.starts_with(shorter.text));
  }
  SECTION("nothing to do") {
    const Generation none = say(prompt, 0, {"x"});
    CHECK(none.ids.empty());
    CHECK(none.text.empty());
    CHECK(none.stop == StopReason::kLength);
  }
  SECTION("a stop string, cut off with all behind it") {
    const std::string stop = free.text.substr(10, 3);
    const size_t at = free.text.find(stop);
    const Generation cut = say(prompt, 30, {"no such text", stop});
    CHECK(cut.stop == StopReason::kUntil);
    CHECK(cut.text == free.text.substr(0, at));
    CHECK(cut.ids.size() < free.ids.size());
    CHECK(cut.ids == std::vector(free.ids.begin(), free.ids.begin() + std::ssize(cut.ids)));
  }
  SECTION("the first of several stop strings") {
    // All found with the same token: a character and strings that end in it.
    const std::string stop = free.text.substr(10, 3);
    const Generation cut = say(prompt, 30, {stop.substr(2), stop.substr(1), stop});
    const Generation one = say(prompt, 30, {stop.substr(2)});
    CHECK(cut.text.size() <= one.text.size());
    CHECK(cut.stop == StopReason::kUntil);
  }
  SECTION("a stop string wins over the length reached with it") {
    const std::string stop = free.text.substr(0, 1);
    const Generation first = say(prompt, 30, {stop});
    const auto length = static_cast<int32_t>(first.ids.size());
    CHECK(say(prompt, length, {stop}).stop == StopReason::kUntil);
  }
  SECTION("an empty stop string stops nothing") { check_equal(say(prompt, 30, {""}), free); }
}

TEST_CASE("the end-of-text token ends an answer, is kept among the ids and has no text") {
  const Fixture fixture;
  Engine engine = fixture.engine(DType::kFloat32);
  const std::vector<Variant> variants{variant_of("", 3)};
  int num_ended = 0;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const GenerationRequest request{random_ids(5, seed), 60, {"<stop>"}};
    const Generation answer = engine.generate(variants, {&request, 1}, fixture.tokenizer)[0][0];
    const auto eos = std::find(answer.ids.begin(), answer.ids.end(), 96);
    CHECK((answer.stop == StopReason::kEos) == (eos != answer.ids.end()));
    if (eos == answer.ids.end()) continue;
    ++num_ended;
    CHECK(eos == answer.ids.end() - 1);
    CHECK(answer.text.find("<stop>") == std::string::npos);
  }
  CHECK(num_ended > 0);
}

TEST_CASE("ids without a token have no text") {
  // The model's vocabulary is larger than the tokenizer's: ids 97 to 103 are padding.
  const Fixture fixture;
  Engine engine = fixture.engine(DType::kFloat32);
  const std::vector<Variant> variants{variant_of("", 3)};
  int num_padding = 0;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const GenerationRequest request{random_ids(5, seed), 20, {"no such text"}};
    const Generation answer = engine.generate(variants, {&request, 1}, fixture.tokenizer)[0][0];
    size_t num_known = 0;
    for (const int32_t id : answer.ids) {
      num_padding += id > 96;
      num_known += id < 96;
    }
    CHECK(answer.text.size() == num_known);
  }
  CHECK(num_padding > 0);
}

TEST_CASE("a unit whose keys and values would not fit is taken in parts, with the same answers") {
  // 64 kv heads of 256: 128 KiB of keys and values per token and layer in float32.
  const RandomModel model({.layers = 2, .heads = 64, .kv_heads = 64, .head_dim = 256}, "BF16");
  const Tokenizer tokenizer = Tokenizer::read(model.path());
  Engine engine(model.path(), {DType::kFloat32, DeviceKind::kCpu, 2});
  const std::vector<Variant> variants{
      variant_of("", 2), variant_of("1 drop", 2), variant_of("0 drop", 2)};
  // Room for 1500 tokens is asked for, but every other character ends the answer.
  std::vector<std::string> until;
  for (char c = '!'; c <= '~'; c += 2) until.emplace_back(1, c);
  std::vector<GenerationRequest> requests;
  for (uint32_t seed = 0; seed < 3; ++seed) requests.push_back({random_ids(4, seed), 1500, until});
  const auto answers = engine.generate(variants, requests, tokenizer);
  REQUIRE(answers.size() == 3);
  for (size_t v = 0; v < variants.size(); ++v) {
    REQUIRE(answers[v].size() == 3);
    for (size_t r = 0; r < requests.size(); ++r) {
      CAPTURE(v, r);
      check_equal(
          answers[v][r], engine.generate({&variants[v], 1}, {&requests[r], 1}, tokenizer)[0][0]);
    }
  }
}
