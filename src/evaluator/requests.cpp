#include "evaluator/requests.hpp"

#include <exception>
#include <string>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

constexpr size_t kMostRequests = 1 << 15;

}  // namespace

const Question& question_at(const Benchmark& benchmark, int32_t index) {
  const auto questions = benchmark.questions();
  if (index < 0 || static_cast<size_t>(index) >= questions.size()) {
    throw Error(ExitStatus::kInternal, "lease", "names a question that is not there");
  }
  return questions[static_cast<size_t>(index)];
}

std::vector<LoglikRequest> Requests::loglik(
    const Benchmark& benchmark, std::span<const int32_t> questions) {
  return get_all<LoglikRequest>(
      questions, [&](int32_t question) { return find_loglik(benchmark, question); });
}

std::vector<GenerationRequest> Requests::generation(
    const Benchmark& benchmark, std::span<const int32_t> questions) {
  return get_all<GenerationRequest>(
      questions, [&](int32_t question) { return find_generation(benchmark, question); });
}

template <typename Request, typename Find>
std::vector<Request> Requests::get_all(std::span<const int32_t> questions, Find find) {
  is_asking_ = true;
  const std::lock_guard lock(mutex_);
  is_asking_ = false;
  is_asking_.notify_one();
  std::vector<Request> requests;
  for (const int32_t question : questions) requests.push_back(find(question));
  return requests;
}

template <typename Request, typename Make>
const Request& Requests::find(
    Made<Request>& made, const Benchmark& benchmark, int32_t question, Make make) {
  const std::pair key(&benchmark, question);
  const auto found = made.find(key);
  if (found != made.end()) return found->second;
  Request request = make(question_at(benchmark, question));
  if (made.size() >= kMostRequests) made.clear();
  return made.emplace(key, std::move(request)).first->second;
}

const LoglikRequest& Requests::find_loglik(const Benchmark& benchmark, int32_t question) {
  return find(loglik_, benchmark, question, [this](const Question& asked) {
    const Tokenizer& tokenizer = inputs_.tokenizer;
    LoglikRequest request{tokenizer.encode(asked.prompt), {}};
    for (const std::string& choice : asked.choices) {
      request.continuations.push_back(
          continuation_ids(tokenizer, asked.prompt, request.context.size(), choice));
    }
    return request;
  });
}

const GenerationRequest& Requests::find_generation(const Benchmark& benchmark, int32_t question) {
  return find(generation_, benchmark, question, [&](const Question& asked) {
    const Tokenizer& tokenizer = inputs_.tokenizer;
    GenerationRequest request{
        tokenizer.encode(asked.prompt),
        inputs_.job.benchmarks.front().max_new_tokens,
        benchmark.stop_strings(),
        {}};
    if (!asked.solution.empty()) {
      request.solution =
          continuation_ids(tokenizer, asked.prompt, request.prompt.size(), asked.solution);
    }
    return request;
  });
}

void Requests::make_ahead() {
  ahead_ = std::jthread([this](const std::stop_token& stop) {
    try {
      make_all(stop);
    } catch (const std::exception&) {
      // Who asks for the question meets it, too.
    }
  });
}

void Requests::make_all(const std::stop_token& stop) {
  for (const auto& benchmark : inputs_.benchmarks) {
    for (int32_t question = 0; question < std::ssize(benchmark->questions()); ++question) {
      is_asking_.wait(true);
      const std::lock_guard lock(mutex_);
      const bool is_room = loglik_.size() < kMostRequests && generation_.size() < kMostRequests;
      if (stop.stop_requested() || !is_room) return;
      if (benchmark->kind() == BenchmarkKind::kMultipleChoice) {
        find_loglik(*benchmark, question);
      } else {
        find_generation(*benchmark, question);
      }
    }
  }
}

}  // namespace prune_sweep
