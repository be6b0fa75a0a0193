#include "evaluator/requests.hpp"

#include <numeric>
#include <string>
#include <vector>

#include "catch.hpp"

using namespace prune_sweep;

namespace {

Inputs mmlu_and_gsm8k() {
  const std::string data = PRUNE_SWEEP_DATA_DIR;
  const std::string text = "[model]\npath = " + data + "/qwen3-0.6b\n[benchmarks]\nmmlu = " + data +
                           "/mmlu\ngsm8k = " + data +
                           "/gsm8k\nmmlu-ids = anatomy:0-9; sociology:0-9\ngsm8k-ids = 0-19\n"
                           "max-new-tokens = 7\n[output]\ndir = unused\n";
  return read_inputs(parse_job(text, "job.ini", "/", {}, benchmark_keys()));
}

bool same(const LoglikRequest& a, const LoglikRequest& b) {
  return a.context == b.context && a.continuations == b.continuations;
}
bool same(const GenerationRequest& a, const GenerationRequest& b) {
  return a.prompt == b.prompt && a.max_new_tokens == b.max_new_tokens && a.until == b.until &&
         a.solution == b.solution;
}

template <typename Request>
void check_same(const std::vector<Request>& a, const std::vector<Request>& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(same(a[i], b[i]));
}

}  // namespace

TEST_CASE("requests that are made ahead are those that are made when asked for") {
  const Inputs inputs = mmlu_and_gsm8k();
  const Benchmark& mmlu = *inputs.benchmarks[0];
  const Benchmark& gsm8k = *inputs.benchmarks[1];
  std::vector<int32_t> questions(20);
  std::iota(questions.rbegin(), questions.rend(), 0);  // meets the thread half-way

  Requests when_asked(inputs);
  const auto choices = when_asked.loglik(mmlu, questions);
  const auto answers = when_asked.generation(gsm8k, questions);
  CHECK(
      choices.front().context ==
      inputs.tokenizer.encode(question_at(mmlu, questions.front()).prompt));
  CHECK(choices.front().continuations.size() == 4);
  CHECK(answers.front().max_new_tokens == 7);

  // The tokenizer is one thread's at a time, so of one object's.
  Requests ahead(inputs);
  ahead.make_ahead();
  for (int round = 0; round < 3; ++round) {
    for (const int32_t question : questions) {
      check_same(ahead.loglik(mmlu, {&question, 1}), {choices[static_cast<size_t>(19 - question)]});
    }
    check_same(ahead.generation(gsm8k, questions), answers);
  }
  const std::vector<int32_t> none{20};
  CHECK_THROWS(ahead.loglik(mmlu, none));
}

TEST_CASE("a thread that makes requests ends with them") {
  const Inputs inputs = mmlu_and_gsm8k();
  for (int i = 0; i < 20; ++i) {
    Requests requests(inputs);
    requests.make_ahead();
  }
}
