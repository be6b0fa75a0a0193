#include "prune_sweep/benchmarks/yardsticks.hpp"

#include <array>

#include "prune_sweep/core/digest.hpp"

namespace prune_sweep {

namespace {

/// A model by the SHA-256 of its published files.
struct KnownModel {
  std::string_view name;
  std::string_view weights_sha256;  ///< model.safetensors
  std::string_view config_sha256;   ///< config.json
};

constexpr KnownModel kQwen3{
    "Qwen/Qwen3-0.6B",
    "f47f71177f32bcd101b7573ec9171e6a57f4f4d31148d38e382306f42996874b",
    "660db3b73d788119c04535e48cf9be5f55bc3100841a718637ae695b442f27dd"};

constexpr int32_t kShots = 5;
constexpr int32_t kNewTokens = 256;

struct Row {
  const KnownModel* model;
  std::string_view benchmark;
  double low;
  double high;
  std::string_view source;
};

// Qwen3 technical report, tables 8 and 19 (neighbours: the base model and non-thinking chat);
// vLLM's own check asks for at least 0.375 of the FP8 model on GSM8K, 5 shots.
constexpr std::array kRows{
    Row{&kQwen3, "mmlu", 0.40, 0.50, "between its published neighbours, 5 shots"},
    Row{&kQwen3, "gsm8k", 0.35, 0.50, "5 shots without thinking, 256 tokens"},
};

// As Checkpoint::sha256 makes it of a model in one file.
std::string model_digest(const KnownModel& model) {
  return Sha256()
      .field("model.safetensors")
      .field(model.weights_sha256)
      .field("config.json")
      .field(model.config_sha256)
      .hex();
}

}  // namespace

std::optional<Yardstick> find_yardstick(
    std::string_view model_sha256, const BenchmarkPlan& benchmark) {
  const bool is_usual =
      benchmark.shots == kShots && benchmark.rules.find("chat") == std::string::npos &&
      (benchmark.kind != BenchmarkKind::kGeneration || benchmark.max_new_tokens == kNewTokens);
  if (!is_usual) return std::nullopt;
  for (const Row& row : kRows) {
    if (row.benchmark == benchmark.name && model_digest(*row.model) == model_sha256) {
      return Yardstick{row.model->name, row.benchmark, row.low, row.high, row.source};
    }
  }
  return std::nullopt;
}

}  // namespace prune_sweep
