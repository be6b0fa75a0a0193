/// \file
/// Signs that an evaluation, not the model, is broken: shares of odd answers, and the bounds beyond
/// which they say so. For the baseline a sign stops the run; for an edited model, which may well
/// be broken itself, it is a flag in the archive.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/core/job.hpp"
#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/core/record_table.hpp"

namespace prune_sweep {

/// Shares among the answers that a variant gave to a benchmark; NaN without answers and where the
/// kind of benchmark has no such thing.
struct AnswerShares {
  int64_t num_answers = 0;
  double correct = 0;     ///< the headline score
  double not_finite = 0;  ///< a logit was a NaN or an infinity
  double one_choice = 0;  ///< the choice that is picked most (kMultipleChoice)
  double invalid = 0;     ///< no answer in the text, by the headline's rule (kGeneration)
  double truncated = 0;   ///< texts cut at max_new_tokens (kGeneration)
  double repeats = 0;     ///< texts that end in a loop (kGeneration)
};

AnswerShares answer_shares(
    const Plan& plan, const RecordTable& records, int32_t benchmark, int32_t variant);

/// A column of the archive's shares.
struct ShareColumn {
  std::string_view name;
  std::string_view description;
  double AnswerShares::*member;
};
/// Those of a kind of benchmark, in the order they are written.
const std::vector<ShareColumn>& share_columns(BenchmarkKind kind);

struct Sign {
  std::string_view name;  ///< `below-chance`, `one-choice`, `invalid`, `truncated`, `not-finite`
  std::string text;       ///< for people, with the numbers
};

/// The signs that the shares show, given the bounds of `gates`. Fewer than 20 answers show none but
/// `not-finite`.
std::vector<Sign> find_signs(
    const BenchmarkPlan& benchmark, const AnswerShares& shares, const Gates& gates);

/// Why the baseline's answers to a benchmark cannot be believed, with what to do; nothing when they
/// show no sign.
std::optional<std::string> objection_to_baseline(
    const Plan& plan, const RecordTable& records, int32_t benchmark);

/// Names of the signs, `one-choice,invalid`; empty for none.
std::string sign_names(const std::vector<Sign>& signs);

/// The smallest number of right answers among `n` that guessing one of `num_choices` stays above
/// with a probability of 97.5 %: the lower end of the 95 % band of a binomial distribution.
int64_t chance_lower_bound(int64_t n, int32_t num_choices);

}  // namespace prune_sweep
