#include "prune_sweep/inputs/inputs.hpp"

#include <algorithm>
#include <cstdlib>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/digest.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

int32_t common_length(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return static_cast<int32_t>(
      std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

PromptStyle prompt_style(const Chat& chat, const fs::path& model_dir) {
  PromptStyle style{chat, {}};
  if (chat.format != ChatFormat::kNone) style.chat_template = ChatTemplate::read(model_dir);
  return style;
}

/// The benchmark's rules, and what else of job and model changes an answer.
std::string rules_text(
    const BenchmarkInfo& info, const BenchmarkRequest& request, const ModelConfig& config) {
  std::string text(info.rules);
  const std::string style = PromptStyle{request.chat, {}}.text();
  if (!style.empty()) text += "; " + style;
  if (info.kind == BenchmarkKind::kGeneration) {
    // generation_config.json has them, which the digest of the model leaves out.
    text += "; ends at " + end_ids_text(config);
  }
  return text;
}

BenchmarkPlan plan_benchmark(
    const Inputs& inputs, const BenchmarkRequest& request, const Benchmark& benchmark) {
  const BenchmarkInfo& info = benchmark_info(benchmark.name());
  const bool generates = benchmark.kind() == BenchmarkKind::kGeneration;
  BenchmarkPlan plan{
      std::string(benchmark.name()),
      benchmark.kind(),
      info.num_choices,
      generates ? request.max_new_tokens : 0,
      request.shots,
      rules_text(info, request, inputs.config),
      request.selection.text(),
      {}};
  std::vector<int32_t> previous;
  for (const Question& question : benchmark.questions()) {
    std::vector<int32_t> ids = inputs.tokenizer.encode(question.prompt);
    QuestionInfo entry{
        question.subject,
        question.doc_id,
        question.gold,
        sha256_hex(question.prompt),
        static_cast<int32_t>(ids.size())};
    if (!question.solution.empty()) {
      entry.solution_sha256 = sha256_hex(question.solution);
      entry.gold_tokens = static_cast<int32_t>(
          continuation_ids(inputs.tokenizer, question.prompt, ids.size(), question.solution)
              .size());
    }
    const int64_t longest =
        entry.prompt_tokens + std::max({plan.max_new_tokens, entry.gold_tokens, 1});
    if (longest > inputs.config.max_positions) {
      bad_input(
          plan.name + (question.subject.empty() ? "" : "/" + question.subject) + " doc_id " +
              std::to_string(question.doc_id),
          "needs " + std::to_string(longest) + " positions, the model has " +
              std::to_string(inputs.config.max_positions),
          "Use fewer shots or a smaller benchmarks.max-new-tokens.");
    }
    if (!plan.questions.empty() && plan.questions.back().subject == question.subject) {
      entry.common_tokens = common_length(previous, ids);
    }
    plan.questions.push_back(std::move(entry));
    previous = std::move(ids);
  }
  return plan;
}

}  // namespace

std::vector<BenchmarkKeys> benchmark_keys() {
  std::vector<BenchmarkKeys> keys;
  for (const BenchmarkInfo& info : benchmark_table()) {
    keys.push_back({std::string(info.name), info.kind});
  }
  return keys;
}

Inputs read_inputs(Job job, WeightsCheck weights) {
  const fs::path& dir = job.model.path;
  if (!fs::is_directory(dir)) {
    bad_input(
        job.source + ": model.path=" + dir.string(),
        "is not a folder",
        "A relative path starts at the job file's folder.");
  }
  ModelConfig config = read_model_config(dir);
  auto weights_digest = std::make_unique<WeightsDigest>(dir, config, weights);
  Tokenizer tokenizer = Tokenizer::read(dir);
  if (tokenizer.vocab_size() > config.vocab_size) {
    bad_input(
        (dir / "tokenizer.json").string() + ": ids up to " +
            std::to_string(tokenizer.vocab_size() - 1),
        "the model's vocab_size is " + std::to_string(config.vocab_size),
        "Use the tokenizer that belongs to the model.");
  }
  std::vector<std::unique_ptr<Benchmark>> benchmarks;
  for (const BenchmarkRequest& request : job.benchmarks) {
    benchmarks.push_back(
        benchmark_info(request.name).read(request, prompt_style(request.chat, dir)));
  }
  return {
      std::move(job),
      std::move(config),
      std::move(tokenizer),
      std::move(benchmarks),
      std::move(weights_digest)};
}

std::string resolve_device(DeviceKind asked, const std::string& where) {
  // The driver's control device is there exactly when a CUDA driver is loaded; no CUDA library is
  // needed to see it.
  const bool has_driver = fs::exists("/dev/nvidiactl");
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  const bool is_hidden = visible != nullptr && (*visible == '\0' || *visible == '-');
  if (asked == DeviceKind::kCuda && (!has_driver || is_hidden)) {
    bad_input(
        where + "=cuda",
        has_driver ? "CUDA_VISIBLE_DEVICES hides this host's devices"
                   : "this host has no CUDA device",
        "Use device = cpu or auto.");
  }
  if (asked == DeviceKind::kCuda) return "cuda";
  return asked == DeviceKind::kAuto && has_driver && !is_hidden ? "cuda" : "cpu";
}

std::vector<int32_t> continuation_ids(
    const Tokenizer& tokenizer,
    const std::string& context,
    size_t context_len,
    const std::string& continuation) {
  const std::vector<int32_t> whole = tokenizer.encode(context + continuation);
  return {
      whole.begin() + static_cast<std::ptrdiff_t>(std::min(context_len, whole.size())),
      whole.end()};
}

Plan plan_of(const Inputs& inputs, int32_t num_groups) {
  std::vector<Variant> variants = enumerate_variants(inputs.job, inputs.config.num_layers);
  const Job& job = inputs.job;
  const std::string device = resolve_device(job.model.device, job.source + ": model.device");
  std::vector<BenchmarkPlan> benchmarks;
  for (size_t i = 0; i < inputs.benchmarks.size(); ++i) {
    benchmarks.push_back(plan_benchmark(inputs, inputs.job.benchmarks[i], *inputs.benchmarks[i]));
  }
  Plan plan = make_plan(
      {inputs.weights->get(), inputs.tokenizer.sha256(), inputs.job.model.dtype, device},
      model_shape(inputs.config),
      std::move(variants),
      std::move(benchmarks),
      num_groups);
  plan.gates = inputs.job.gates;
  return plan;
}

std::string end_ids_text(const ModelConfig& config) {
  std::vector<std::string> ids;
  for (const int32_t id : config.eos_ids) ids.push_back(std::to_string(id));
  return listed(ids);
}

std::string questions_digest(const std::vector<std::unique_ptr<Benchmark>>& benchmarks) {
  Sha256 digest;
  for (const auto& benchmark : benchmarks) {
    digest.field(benchmark->name());
    for (const Question& question : benchmark->questions()) {
      digest.field(question.subject).field(question.prompt).field(question.target);
    }
  }
  return digest.hex();
}

}  // namespace prune_sweep
