// How much the engine multiplies, counted where all its products go through: what a lost saving
// would cost shows without a clock. The linker puts the counters in the place of tiles::multiply
// (tests/CMakeLists.txt).

#include <atomic>

#include "catch.hpp"
#include "core/plans.hpp"
#include "engine/random_model.hpp"
#include "engine/tiles.hpp"

namespace {

std::atomic<int64_t> num_calls{0};
std::atomic<int64_t> num_flops{0};

void count(const prune_sweep::tiles::Shape& shape) {
  num_calls += 1;
  num_flops += 2 * shape.m * shape.n * shape.k;
}

}  // namespace

// The names are those of the two overloads of tiles::multiply, mangled.
extern "C" {
using prune_sweep::tiles::Product;

void __real__ZN11prune_sweep5tiles8multiplyERKNS0_7ProductIN3c108BFloat16EEE(
    const Product<c10::BFloat16>& product);
void __real__ZN11prune_sweep5tiles8multiplyERKNS0_7ProductIfEE(const Product<float>& product);

void __wrap__ZN11prune_sweep5tiles8multiplyERKNS0_7ProductIN3c108BFloat16EEE(
    const Product<c10::BFloat16>& product) {
  count(product.shape);
  __real__ZN11prune_sweep5tiles8multiplyERKNS0_7ProductIN3c108BFloat16EEE(product);
}
void __wrap__ZN11prune_sweep5tiles8multiplyERKNS0_7ProductIfEE(const Product<float>& product) {
  count(product.shape);
  __real__ZN11prune_sweep5tiles8multiplyERKNS0_7ProductIfEE(product);
}
}

using namespace prune_sweep;

namespace {

constexpr int32_t kNumLayers = 28;
constexpr RandomShape kShape{
    .layers = kNumLayers,
    .hidden = 64,
    .intermediate = 192,
    .heads = 4,
    .kv_heads = 2,
    .head_dim = 16,
    .vocab = 100};
constexpr int32_t kPrefix = 320;
constexpr int32_t kOwn = 64;
constexpr int32_t kQuestions = 8;
constexpr int32_t kNewTokens = 16;
/// What is multiplied may be more than the plan says (rows are rounded up, keys behind a query are
/// masked) or less (the last layer is computed only where it is read).
constexpr double kMore = 1.10;
constexpr double kLess = 0.90;

ModelShape model_shape() {
  return {
      .num_layers = kNumLayers,
      .attention_parameters = 2 * 64 * 64 + 2 * 64 * 32,
      .mlp_parameters = 3 * 64 * 192,
      .attention_flops_per_pair = 4 * 4 * 16,
      .head_parameters = 100 * 64};
}

std::vector<Variant> some_variants() {
  std::vector<Variant> variants;
  for (const char* edits : {"", "3 drop", "10 drop", "17 drop", "24 drop", "0-27 magnitude 50"}) {
    variants.push_back(variant_of(edits, kNumLayers));
  }
  return variants;
}

std::vector<std::vector<int32_t>> prompts() {
  std::vector<std::vector<int32_t>> result;
  for (uint32_t i = 0; i < kQuestions; ++i) {  // as long as those of choice_benchmark()
    result.push_back(joined(random_ids(kPrefix, 1), random_ids(kOwn + i % 7, 2 + i)));
  }
  return result;
}

/// FLOPs that the plan expects with these savings, of one benchmark with these questions.
double expected_flops(BenchmarkPlan benchmark, const Savings& savings) {
  const Plan plan =
      make_plan(some_context(), model_shape(), some_variants(), {std::move(benchmark)});
  const auto parts = [](Use saving, int32_t size) {
    std::vector<std::pair<int32_t, int32_t>> result;  // (first, count)
    if (saving == Use::kOn) return std::vector{std::pair{0, size}};
    for (int32_t i = 0; i < size; ++i) result.emplace_back(i, 1);
    return result;
  };
  double flops = 0;
  for (const auto& [first_variant, num_variants] :
       parts(savings.fork, static_cast<int32_t>(plan.variants.size()))) {
    for (const auto& [first, count] : parts(savings.prefix, kQuestions)) {
      Unit unit{0, {}, first, count, 0};
      for (int32_t v = 0; v < num_variants; ++v) unit.variants.push_back(first_variant + v);
      flops += unit_flops(plan, unit, Sharing::kAll);
    }
  }
  return flops;
}

struct Counted {
  int64_t calls = 0;
  double flops = 0;
};

template <typename Work>
Counted counted(const Savings& savings, Work work) {
  static const RandomModel model(kShape, "F32");
  Engine engine(model.path(), {DType::kFloat32, DeviceKind::kCpu, 2, savings});
  num_calls = 0;
  num_flops = 0;
  work(engine);
  return {num_calls, static_cast<double>(num_flops)};
}

Counted scores_counted(const Savings& savings) {
  return counted(savings, [](Engine& engine) {
    std::vector<LoglikRequest> requests;
    for (const auto& prompt : prompts()) requests.push_back({prompt, {{1}, {2}, {3}, {4}}});
    engine.loglik(some_variants(), requests);
  });
}

Counted texts_counted(const Savings& savings) {
  return counted(savings, [](Engine& engine) {
    static const RandomModel model(kShape, "F32");
    const Tokenizer tokenizer = Tokenizer::read(model.path());
    std::vector<GenerationRequest> requests;
    for (const auto& prompt : prompts()) requests.push_back({prompt, kNewTokens, {}, {}});
    engine.generate(some_variants(), requests, tokenizer);
  });
}

Savings without(Use Savings::*saving) {
  Savings savings;
  savings.*saving = Use::kOff;
  return savings;
}

bool has_tiles() {
  if (tiles::arithmetic_of(at::kFloat) != tiles::Arithmetic::kNone) return true;
  WARN("this CPU or this libtorch has no products of tiles: nothing is counted");
  return false;
}

}  // namespace

TEST_CASE("scoring multiplies what the plan says, with every saving and without it") {
  if (!has_tiles()) return;
  const Savings savings = GENERATE(
      Savings{},
      without(&Savings::fork),
      without(&Savings::prefix),
      Savings{.fork = Use::kOff, .prefix = Use::kOff, .batch_decode = Use::kOff});
  const double expected =
      expected_flops(choice_benchmark("mmlu", {kQuestions}, kPrefix, kOwn), savings);
  const Counted got = scores_counted(savings);
  CAPTURE(savings.fork == Use::kOn, savings.prefix == Use::kOn, got.flops / expected);
  CHECK(got.flops <= kMore * expected);
  CHECK(got.flops >= kLess * expected);
}

TEST_CASE("answers of a unit are generated together") {
  if (!has_tiles()) return;
  const Counted together = texts_counted({});
  const Counted alone = texts_counted(without(&Savings::batch_decode));
  CAPTURE(together.calls, alone.calls, together.flops, alone.flops);
  CHECK(together.calls * 3 <= alone.calls);
  CHECK(together.flops * 4 <= alone.flops);  // a row by itself is multiplied as sixteen
}
