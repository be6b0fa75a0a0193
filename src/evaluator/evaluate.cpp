#include "prune_sweep/evaluator/evaluate.hpp"

#include <algorithm>

#include "evaluator/requests.hpp"
#include "prune_sweep/benchmarks/repetition.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/clock.hpp"
#include "prune_sweep/core/host.hpp"
#include "prune_sweep/inputs/local_paths.hpp"
#include "prune_sweep/model/checkpoint.hpp"

namespace prune_sweep {

namespace {

/// As on rank 0's host, wherever it lies here, or nothing is computed.
void require_same(const std::string& own, const std::string& wanted, const std::string& what) {
  if (own == wanted) return;
  bad_input(
      host_name() + ": " + what,
      "differs from that of rank 0's host",
      "Give all hosts the same files.");
}

Inputs inputs_of(const Setup& setup) {
  Inputs inputs = read_inputs(
      on_this_host(parse_job(setup.job_text, "job.ini of the run", "/", {}, benchmark_keys())));
  const std::string model = inputs.job.model.path.string();
  require_same(
      questions_digest(inputs.benchmarks),
      setup.questions_sha256,
      "what the benchmarks' files ask");
  require_same(inputs.tokenizer.sha256(), setup.tokenizer_sha256, model + "/tokenizer.json");
  require_same(
      end_ids_text(inputs.config), setup.end_ids, model + ": what ends an answer (eos_token_id)");
  if (!setup.model_sha256.empty()) {
    require_same(
        Checkpoint::open(model, inputs.config).sha256(),
        setup.model_sha256,
        model + ": config.json or weights");
  }
  return inputs;
}

uint8_t greedy_mask(const std::vector<ContinuationScore>& scores) {
  uint8_t mask = 0;
  for (size_t choice = 0; choice < scores.size() && choice < 8; ++choice) {
    if (scores[choice].greedy) mask = static_cast<uint8_t>(mask | (1u << choice));
  }
  return mask;
}

}  // namespace

Evaluator::Evaluator(const Setup& setup, EngineHooks hooks)
    : started_s_(monotonic_s()),
      inputs_(inputs_of(setup)),
      device_(setup.device),
      requests_(std::make_unique<Requests>(inputs_)) {
  const DeviceKind device = parse_device(device_, "setup");
  // A CPU has its threads for computing.
  if (device != DeviceKind::kCpu) requests_->make_ahead();
  engine_ = std::make_unique<Engine>(
      inputs_.job.model.path,
      EngineSettings{inputs_.job.model.dtype, device, setup.num_threads, setup.savings},
      std::move(hooks));
  load_s_ = monotonic_s() - started_s_;
}

Evaluator::~Evaluator() = default;

Ready Evaluator::ready() const { return {host_name(), device_, Engine::torch_version(), load_s_}; }

Result Evaluator::evaluate(const Lease& lease) {
  const double start_s = monotonic_s();
  const auto benchmark = std::find_if(
      inputs_.benchmarks.begin(), inputs_.benchmarks.end(), [&](const auto& candidate) {
        return candidate->name() == lease.benchmark;
      });
  if (benchmark == inputs_.benchmarks.end()) {
    throw Error(ExitStatus::kInternal, "lease of benchmark " + lease.benchmark, "unknown here");
  }
  std::vector<Variant> variants;
  for (size_t i = 0; i < lease.variant_names.size(); ++i) {
    variants.push_back(
        {lease.variant_names[i],
         parse_edits(
             lease.variant_edits.at(i),
             inputs_.config.num_layers,
             MagnitudeScope::kTensor,
             "lease")});
  }
  Result result{lease.unit, lease.attempt, 0, (*benchmark)->kind(), {}};
  engine_->take_phases();  // what an earlier lease that failed has left
  result.records = result.kind == BenchmarkKind::kMultipleChoice
                       ? score_choices(**benchmark, variants, lease.questions)
                       : generate_answers(**benchmark, variants, lease.questions);
  result.elapsed_s = monotonic_s() - start_s;
  result.phases_s = engine_->take_phases();
  return result;
}

std::vector<Record> Evaluator::score_choices(
    const Benchmark& benchmark,
    std::span<const Variant> variants,
    std::span<const int32_t> questions) {
  const auto scores = engine_->loglik(variants, requests_->loglik(benchmark, questions));
  std::vector<Record> records;
  for (size_t variant = 0; variant < variants.size(); ++variant) {
    for (size_t i = 0; i < questions.size(); ++i) {
      Record& record = records.emplace_back();
      for (const ContinuationScore& score : scores[variant][i]) {
        record.loglik.push_back(score.loglik);
      }
      record.greedy = greedy_mask(scores[variant][i]);
      benchmark.score(question_at(benchmark, questions[i]), record);
    }
  }
  return records;
}

std::vector<Record> Evaluator::generate_answers(
    const Benchmark& benchmark,
    std::span<const Variant> variants,
    std::span<const int32_t> questions) {
  const auto answers =
      engine_->generate(variants, requests_->generation(benchmark, questions), inputs_.tokenizer);
  std::vector<Record> records;
  for (size_t variant = 0; variant < variants.size(); ++variant) {
    for (size_t i = 0; i < answers[variant].size(); ++i) {
      const Generation& answer = answers[variant][i];
      Record& record = records.emplace_back();
      record.generated_tokens = static_cast<int32_t>(answer.ids.size());
      record.stop = static_cast<uint8_t>(answer.stop);
      record.response = answer.text;
      record.gold_loglik = answer.solution_loglik;
      record.repeats = ends_in_loop(answer.ids) ? 1 : 0;
      benchmark.score(question_at(benchmark, questions[i]), record);
    }
  }
  return records;
}

}  // namespace prune_sweep
