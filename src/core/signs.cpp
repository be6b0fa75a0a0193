#include "prune_sweep/core/signs.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

/// Of fewer answers, odd shares say nothing.
constexpr int64_t kFewestAnswers = 20;
constexpr double kTail = 0.025;

bool is_not_finite(BenchmarkKind kind, const Record& record) {
  if (kind == BenchmarkKind::kGeneration) {
    return record.stop == static_cast<uint8_t>(StopReason::kNotFinite);
  }
  return std::any_of(record.loglik.begin(), record.loglik.end(), [](float value) {
    return !std::isfinite(value);
  });
}

std::string percent(double share) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %%", 100 * share);
  return text.data();
}

}  // namespace

AnswerShares answer_shares(
    const Plan& plan, const RecordTable& records, int32_t benchmark, int32_t variant) {
  const BenchmarkPlan& asked = plan.benchmarks.at(static_cast<size_t>(benchmark));
  const bool generates = asked.kind == BenchmarkKind::kGeneration;
  AnswerShares shares;
  std::vector<int64_t> picked(static_cast<size_t>(asked.num_choices), 0);
  for (int32_t question = 0; question < std::ssize(asked.questions); ++question) {
    const Record* record = records.find({benchmark, variant, question});
    if (record == nullptr) continue;
    ++shares.num_answers;
    shares.correct += headline_correct(asked.kind, *record) == 1 ? 1 : 0;
    shares.not_finite += is_not_finite(asked.kind, *record) ? 1 : 0;
    if (generates) {
      shares.invalid += record->strict_answer == kInvalidAnswer ? 1 : 0;
      shares.truncated += record->stop == static_cast<uint8_t>(StopReason::kLength) ? 1 : 0;
      shares.repeats += record->repeats == 1 ? 1 : 0;
    } else if (!record->loglik.empty()) {
      ++picked.at(likeliest(record->loglik));
    }
  }
  if (!picked.empty()) {
    shares.one_choice = static_cast<double>(*std::max_element(picked.begin(), picked.end()));
  }
  const auto n = static_cast<double>(shares.num_answers);
  for (const ShareColumn& column : share_columns(asked.kind)) shares.*column.member /= n;
  return shares;
}

const std::vector<ShareColumn>& share_columns(BenchmarkKind kind) {
  static const ShareColumn kCorrect{
      "correct", "share of questions answered right", &AnswerShares::correct};
  static const ShareColumn kNotFinite{
      "not_finite",
      "share of questions for which a logit was a NaN or an infinity",
      &AnswerShares::not_finite};
  static const std::vector<ShareColumn> kMultipleChoice{
      kCorrect,
      kNotFinite,
      {"one_choice", "share of the choice that is picked most", &AnswerShares::one_choice}};
  static const std::vector<ShareColumn> kGeneration{
      kCorrect,
      kNotFinite,
      {"invalid", "share of responses without an answer after ####", &AnswerShares::invalid},
      {"truncated", "share of responses cut at max_new_tokens", &AnswerShares::truncated},
      {"repeats", "share of responses that end in a loop", &AnswerShares::repeats}};
  return kind == BenchmarkKind::kMultipleChoice ? kMultipleChoice : kGeneration;
}

std::vector<Sign> find_signs(
    const BenchmarkPlan& benchmark, const AnswerShares& shares, const Gates& gates) {
  std::vector<Sign> signs;
  const auto of_answers = " of " + std::to_string(shares.num_answers) + " answers";
  if (shares.not_finite > 0) {
    signs.push_back(
        {"not-finite", percent(shares.not_finite) + of_answers + " have no finite logits"});
  }
  if (shares.num_answers < kFewestAnswers) return signs;
  if (benchmark.kind == BenchmarkKind::kGeneration) {
    if (shares.invalid > gates.max_invalid) {
      signs.push_back({"invalid", percent(shares.invalid) + of_answers + " are invalid"});
    }
    if (shares.truncated > gates.max_truncated) {
      signs.push_back(
          {"truncated",
           percent(shares.truncated) + of_answers + " are cut at " +
               std::to_string(benchmark.max_new_tokens) + " tokens"});
    }
    return signs;
  }
  const auto num_correct = std::llround(shares.correct * static_cast<double>(shares.num_answers));
  const int64_t lowest = chance_lower_bound(shares.num_answers, benchmark.num_choices);
  if (num_correct < lowest) {
    signs.push_back(
        {"below-chance",
         std::to_string(num_correct) + of_answers + " are right, guessing gives at least " +
             std::to_string(lowest)});
  }
  if (shares.one_choice > gates.max_one_choice) {
    signs.push_back(
        {"one-choice", percent(shares.one_choice) + of_answers + " are the same choice"});
  }
  return signs;
}

std::optional<std::string> objection_to_baseline(
    const Plan& plan, const RecordTable& records, int32_t benchmark) {
  const BenchmarkPlan& asked = plan.benchmarks.at(static_cast<size_t>(benchmark));
  const auto signs = find_signs(asked, answer_shares(plan, records, benchmark, 0), plan.gates);
  if (signs.empty()) return std::nullopt;
  std::vector<std::string> texts;
  for (const Sign& sign : signs) texts.push_back(sign.text);
  return asked.name + ": the baseline's answers cannot be right (" + listed(texts) +
         ") Look at model, tokenizer and prompt settings, or go on with --no-gates.";
}

std::string sign_names(const std::vector<Sign>& signs) {
  std::string names;
  for (const Sign& sign : signs) names.append(names.empty() ? "" : ",").append(sign.name);
  return names;
}

int64_t chance_lower_bound(int64_t n, int32_t num_choices) {
  const double p = 1.0 / num_choices;
  const auto log_factorial = [](int64_t k) { return std::lgamma(static_cast<double>(k) + 1); };
  double below_or_equal = 0;
  for (int64_t k = 0; k <= n; ++k) {
    below_or_equal += std::exp(
        log_factorial(n) - log_factorial(k) - log_factorial(n - k) +
        static_cast<double>(k) * std::log(p) + static_cast<double>(n - k) * std::log1p(-p));
    if (below_or_equal >= kTail) return k;
  }
  return n;
}

}  // namespace prune_sweep
