// The whole engine against values that were computed in float64 from the same weights
// (data/README.md, tiny-qwen3).

#include <cmath>
#include <fstream>

#include "catch.hpp"
#include "engine/random_model.hpp"

using namespace prune_sweep;

namespace {

const std::filesystem::path kTiny = std::string(PRUNE_SWEEP_DATA_DIR) + "/tiny-qwen3";

const OrderedJson& expected() {
  static const OrderedJson values = OrderedJson::parse(std::ifstream(kTiny / "expected.json"));
  return values;
}

/// Log-softmax in double.
std::vector<double> logprobs_of(const OrderedJson& logits) {
  double total = 0;
  for (const double logit : logits) total += std::exp(logit);
  std::vector<double> result;
  for (const double logit : logits) result.push_back(logit - std::log(total));
  return result;
}

double largest_difference(Engine& engine, const Variant& variant, const char* key) {
  const auto ids = expected().at("input_ids").get<std::vector<int32_t>>();
  const std::vector<double> reference = logprobs_of(expected().at(key));
  const auto ours = engine.next_token(variant, ids, 256);
  REQUIRE(ours.size() == reference.size());
  double largest = 0;
  for (const auto& [id, logprob] : ours) {
    largest = std::max(largest, std::abs(logprob - reference.at(static_cast<size_t>(id))));
  }
  return largest;
}

/// tiny-qwen3 with its head tied; the file goes on storing the untied one.
struct TiedTiny {
  TempDir dir;

  TiedTiny() {
    OrderedJson config = OrderedJson::parse(std::ifstream(kTiny / "config.json"));
    config["tie_word_embeddings"] = true;
    dir.write("config.json", config.dump());
    std::filesystem::copy_file(kTiny / "model.safetensors", dir.path() / "model.safetensors");
  }
};

Engine tiny(DType dtype) { return Engine(kTiny, {dtype, DeviceKind::kCpu, 1}); }

}  // namespace

TEST_CASE(
    "float32 log-probabilities agree with float64 to 1e-4, with layers dropped and the head tied "
    "too") {
  Engine engine = tiny(DType::kFloat32);
  CHECK(largest_difference(engine, variant_of("", 2), "logits_last") < 1e-4);
  CHECK(largest_difference(engine, variant_of("0 drop", 2), "logits_last_without_layer_0") < 1e-4);
  CHECK(largest_difference(engine, variant_of("1 drop", 2), "logits_last_without_layer_1") < 1e-4);
  const TiedTiny tied;
  Engine tied_engine(tied.dir.path(), {DType::kFloat32, DeviceKind::kCpu, 1});
  CHECK(largest_difference(tied_engine, variant_of("", 2), "logits_last_tied") < 1e-4);
}

TEST_CASE("bfloat16 log-probabilities stay within bfloat16's precision of float64") {
  Engine engine = tiny(DType::kBfloat16);
  // 8 bits of mantissa and logits of at most 1: a few units of 2^-8.
  CHECK(largest_difference(engine, variant_of("", 2), "logits_last") < 0.02);
  CHECK(largest_difference(engine, variant_of("0 drop", 2), "logits_last_without_layer_0") < 0.02);
}

TEST_CASE("log-likelihoods of a continuation of two tokens agree with float64 to 1e-4") {
  Engine engine = tiny(DType::kFloat32);
  const OrderedJson& values = expected().at("loglikelihood");
  const LoglikRequest request{
      values.at("context_ids").get<std::vector<int32_t>>(),
      {values.at("continuation_ids").get<std::vector<int32_t>>()}};
  const std::vector<Variant> variants{
      variant_of("", 2), variant_of("0 drop", 2), variant_of("1 drop", 2)};
  const auto scores = engine.loglik(variants, {&request, 1});
  const std::vector<const char*> keys{
      "sum_logprob", "sum_logprob_without_layer_0", "sum_logprob_without_layer_1"};
  for (size_t i = 0; i < keys.size(); ++i) {
    INFO(keys[i]);
    CHECK(std::abs(scores[i][0][0].loglik - values.at(keys[i]).get<double>()) < 1e-4);
  }
  CHECK(scores[0][0][0].greedy == values.at("is_greedy").get<bool>());
}

TEST_CASE("greedy tokens are those of float64; in bfloat16 up to the first near-tie") {
  const RandomModel other({});  // for its tokenizer
  const Tokenizer tokenizer = Tokenizer::read(other.path());
  const OrderedJson& values = expected().at("greedy_float64");
  const auto generated = values.at("generated").get<std::vector<int32_t>>();
  const GenerationRequest request{
      values.at("prompt_ids").get<std::vector<int32_t>>(),
      static_cast<int32_t>(generated.size()),
      {}};
  const std::vector<Variant> baseline{variant_of("", 2)};

  Engine exact = tiny(DType::kFloat32);
  const Generation answer = exact.generate(baseline, {&request, 1}, tokenizer)[0][0];
  CHECK(answer.ids == generated);
  CHECK(answer.stop == StopReason::kLength);

  // The other implementation's bfloat16 tokens, which leave those of float64 at a tie of 0.00086.
  const auto bfloat16 =
      expected().at("greedy_mlx_bf16").at("generated").get<std::vector<int32_t>>();
  Engine rounded = tiny(DType::kBfloat16);
  const std::vector<int32_t> ours = rounded.generate(baseline, {&request, 1}, tokenizer)[0][0].ids;
  CHECK(
      std::vector(ours.begin(), ours.begin() + 4) ==
      std::vector(bfloat16.begin(), bfloat16.begin() + 4));
  CHECK((ours[4] == generated[4] || ours[4] == bfloat16[4]));
}

TEST_CASE("requests that no model of this size can answer are refused, the request named") {
  Engine engine = tiny(DType::kBfloat16);
  const std::vector<Variant> variants{variant_of("", 2)};
  const std::vector<std::pair<LoglikRequest, std::string>> faults{
      {{{}, {{1}}}, "no tokens"},
      {{{1}, {{}}}, "no tokens"},
      {{{1}, {}}, "no continuations"},
      {{{256}, {{1}}}, "token 256"},
      {{{1}, {{1, -1}}}, "token -1"},
      {{random_ids(2048, 1), {{1}}}, "max_position_embeddings is 2048"},
  };
  for (const auto& [request, expected_text] : faults) {
    const std::vector<LoglikRequest> requests{{{1, 2}, {{3}}}, request};
    INFO(expected_text);
    try {
      engine.loglik(variants, requests);
      FAIL("nothing was thrown");
    } catch (const Error& error) {
      CHECK(error.status() == ExitStatus::kBadInput);
      CHECK_THAT(error.what(), ContainsSubstring("request 1") && ContainsSubstring(expected_text));
    }
  }
  CHECK_THROWS_AS(engine.next_token(variants[0], std::vector<int32_t>{}, 1), Error);
}

TEST_CASE("a variant without finite logits is told apart from the others") {
  // Values that are finite but overflow when multiplied, in one layer; dropping it saves the
  // variant.
  const RandomShape shape{.layers = 2};
  const RandomModel model(shape, "F32");
  const std::string file = (model.path() / "model.safetensors").string();
  std::string bytes((std::istreambuf_iterator<char>(std::ifstream(file).rdbuf())), {});
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  const OrderedJson header = OrderedJson::parse(bytes.substr(8, header_size));
  const auto offsets = header["model.layers.1.mlp.down_proj.weight"]["data_offsets"];
  const float large = 3e38F;
  for (size_t i = offsets[0]; i < offsets[1]; i += 4) {
    std::memcpy(bytes.data() + 8 + header_size + i, &large, 4);
  }
  std::ofstream(file, std::ios::binary) << bytes;

  EngineSettings settings{DType::kFloat32, DeviceKind::kCpu, 1};
  settings.operations = GENERATE(Operations::kFastest, Operations::kPlain);
  Engine engine(model.path(), settings);
  const std::vector<LoglikRequest> requests{{{1, 2, 3}, {{4}}}, {{1, 2, 5}, {{4}}}};
  const std::vector<Variant> good{variant_of("1 drop", 2)};
  const std::vector<Variant> both{variant_of("1 drop", 2), variant_of("0 drop", 2)};
  const auto scores = engine.loglik(both, requests);
  const auto alone = engine.loglik(good, requests);
  // The tiles' sums do not depend on what else is in a unit.
  const double tolerance = settings.operations == Operations::kFastest ? 0 : 1e-4;
  for (size_t i = 0; i < requests.size(); ++i) {
    CHECK(std::abs(scores[0][i][0].loglik - alone[0][i][0].loglik) <= tolerance);
    CHECK(std::isnan(scores[1][i][0].loglik));
    CHECK_FALSE(scores[1][i][0].greedy);
  }
  const Tokenizer tokenizer = Tokenizer::read(model.path());
  const std::vector<GenerationRequest> prompts{{{1, 2, 3}, 4, {}, {4}}, {{1, 2, 5}, 4, {}, {}}};
  const auto answers = engine.generate(both, prompts, tokenizer);
  for (size_t i = 0; i < prompts.size(); ++i) {
    CHECK(answers[0][i].stop == StopReason::kLength);
    CHECK(answers[1][i].stop == StopReason::kNotFinite);
    CHECK(answers[1][i].ids.empty());
    CHECK(std::isnan(answers[1][i].solution_loglik));
  }
  CHECK(std::abs(answers[0][0].solution_loglik - scores[0][0][0].loglik) <= tolerance);
}

TEST_CASE("a CUDA device that is not there is refused") {
  try {
    Engine(kTiny, {DType::kBfloat16, DeviceKind::kCuda, 1});
    SUCCEED("there is one");
  } catch (const Error& error) {
    CHECK(error.status() == ExitStatus::kBadInput);
    CHECK_THAT(error.what(), ContainsSubstring("device=cuda"));
  }
}
