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
  return get(loglik_, benchmark, questions);
}

std::vector<GenerationRequest> Requests::generation(
    const Benchmark& benchmark, std::span<const int32_t> questions) {
  return get(generation_, benchmark, questions);
}

template <typename Request>
std::vector<Request> Requests::get(
    Made<Request>& made, const Benchmark& benchmark, std::span<const int32_t> questions) {
  ++num_asking_;
  const std::lock_guard lock(mutex_);
  --num_asking_;
  num_asking_.notify_one();
  std::vector<Request> requests;
  for (const int32_t question : questions) requests.push_back(find(made, benchmark, question));
  return requests;
}

template <typename Request>
const Request& Requests::find(Made<Request>& made, const Benchmark& benchmark, int32_t question) {
  const std::pair key(&benchmark, question);
  const auto found = made.find(key);
  if (found != made.end()) return found->second;
  Request request;
  make(question_at(benchmark, question), benchmark, request);
  if (made.size() >= kMostRequests) made.clear();
  return made.emplace(key, std::move(request)).first->second;
}

void Requests::make(const Question& asked, const Benchmark&, LoglikRequest& request) const {
  request.context = inputs_.tokenizer.encode(asked.prompt);
  for (const std::string& choice : asked.choices) {
    request.continuations.push_back(
        continuation_ids(inputs_.tokenizer, asked.prompt, request.context.size(), choice));
  }
}

void Requests::make(
    const Question& asked, const Benchmark& benchmark, GenerationRequest& request) const {
  request.prompt = inputs_.tokenizer.encode(asked.prompt);
  request.max_new_tokens = inputs_.job.benchmarks.front().max_new_tokens;
  request.until = benchmark.stop_strings();
  if (!asked.solution.empty()) {
    request.solution =
        continuation_ids(inputs_.tokenizer, asked.prompt, request.prompt.size(), asked.solution);
  }
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
      for (int asking = num_asking_; asking > 0; asking = num_asking_) num_asking_.wait(asking);
      const std::lock_guard lock(mutex_);
      const bool is_room = loglik_.size() < kMostRequests && generation_.size() < kMostRequests;
      if (stop.stop_requested() || !is_room) return;
      if (benchmark->kind() == BenchmarkKind::kMultipleChoice) {
        find(loglik_, *benchmark, question);
      } else {
        find(generation_, *benchmark, question);
      }
    }
  }
}

}  // namespace prune_sweep
