#include "prune_sweep/core/signs.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "core/plans.hpp"

using namespace prune_sweep;

namespace {

constexpr int32_t kChoice = 0;
constexpr int32_t kGeneration = 1;

struct Answers {
  Plan plan = make_plan(
      some_context(),
      small_shape(2),
      {{"baseline", {}}},
      {choice_benchmark("mmlu", {40}, 50, 20), generation_benchmark("gsm8k", 40, 60, 16)});
  RecordTable records{plan};

  /// Question `q` of mmlu is answered with `picked`; it is right where `is_right`.
  void choose(int32_t q, size_t picked, bool is_right) {
    Record record;
    record.loglik = {-2, -2, -2, -2};
    record.loglik[picked] = -1;
    record.correct = is_right ? 1 : 0;
    records.insert({kChoice, 0, q}, record);
  }

  std::string signs(int32_t benchmark) const {
    return sign_names(find_signs(
        plan.benchmarks[static_cast<size_t>(benchmark)],
        answer_shares(plan, records, benchmark, 0),
        Gates{}));
  }
};

/// P(X <= k) of a binomial distribution by the recurrence of Bernoulli trials.
double binomial_cdf(int64_t k, int64_t n, double p) {
  std::vector<double> mass{1};
  for (int64_t trial = 0; trial < n; ++trial) {
    mass.push_back(0);
    for (size_t i = mass.size() - 1; i > 0; --i) mass[i] = mass[i] * (1 - p) + mass[i - 1] * p;
    mass[0] *= 1 - p;
  }
  double sum = 0;
  for (int64_t i = 0; i <= k; ++i) sum += mass[static_cast<size_t>(i)];
  return sum;
}

}  // namespace

TEST_CASE("the chance band begins where 2.5 % of guessers are below it") {
  for (const int32_t choices : {2, 4, 5}) {
    for (const int64_t n : {1, 5, 20, 100, 285, 1430}) {
      CAPTURE(choices, n);
      const int64_t bound = chance_lower_bound(n, choices);
      CHECK(binomial_cdf(bound, n, 1.0 / choices) >= 0.025);
      if (bound > 0) CHECK(binomial_cdf(bound - 1, n, 1.0 / choices) < 0.025);
    }
  }
  CHECK(chance_lower_bound(14042, 4) > 3400);
}

TEST_CASE("answers that are right by and large show no sign") {
  Answers answers;
  for (int32_t q = 0; q < 40; ++q) answers.choose(q, static_cast<size_t>(q) % 4, q % 3 != 0);
  CHECK(answers.signs(kChoice).empty());
}

TEST_CASE("fewer right answers than guessing gives is a sign") {
  Answers answers;
  for (int32_t q = 0; q < 40; ++q) answers.choose(q, static_cast<size_t>(q) % 4, q < 4);
  CHECK(answers.signs(kChoice) == "below-chance");
}

TEST_CASE("the same choice all the time is a sign, chance or not") {
  Answers answers;
  for (int32_t q = 0; q < 40; ++q) answers.choose(q, q < 37 ? 0 : 1, q % 4 == 0);
  CHECK(answers.signs(kChoice) == "one-choice");
}

TEST_CASE("a NaN is a sign even of a single answer, and counts as the choice that numpy picks") {
  Answers answers;
  Record record;
  record.loglik = {-1, std::numeric_limits<float>::quiet_NaN(), -1, -1};
  record.correct = 0;
  answers.records.insert({kChoice, 0, 3}, record);
  const AnswerShares shares = answer_shares(answers.plan, answers.records, kChoice, 0);
  CHECK(shares.num_answers == 1);
  CHECK(shares.not_finite == 1);
  CHECK(shares.one_choice == 1);
  CHECK(answers.signs(kChoice) == "not-finite");
  CHECK(likeliest(record.loglik) == 1);
}

TEST_CASE("texts without an answer, and texts that are cut, are signs") {
  Answers answers;
  for (int32_t q = 0; q < 40; ++q) {
    Record record;
    record.strict_correct = 0;
    record.strict_answer = q < 21 ? "[invalid]" : "4";
    record.stop = static_cast<uint8_t>(q < 30 ? StopReason::kLength : StopReason::kEos);
    record.repeats = q < 10 ? 1 : 0;
    answers.records.insert({kGeneration, 0, q}, record);
  }
  const AnswerShares shares = answer_shares(answers.plan, answers.records, kGeneration, 0);
  CHECK(shares.invalid == Approx(21.0 / 40));
  CHECK(shares.truncated == Approx(0.75));
  CHECK(shares.repeats == Approx(0.25));
  CHECK(answers.signs(kGeneration) == "invalid,truncated");
}

TEST_CASE("without answers there are no shares and no signs") {
  const Answers answers;
  for (const int32_t benchmark : {kChoice, kGeneration}) {
    CHECK(answers.signs(benchmark).empty());
    const AnswerShares shares = answer_shares(answers.plan, answers.records, benchmark, 0);
    CHECK(shares.num_answers == 0);
    CHECK(std::isnan(shares.correct));
  }
}
