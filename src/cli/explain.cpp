#include <algorithm>
#include <cstdio>

#include "cli/options.hpp"
#include "cli/run_files.hpp"
#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

int32_t num_missing(const RecordTable& records, const Unit& unit, int32_t variant) {
  int32_t missing = 0;
  for (int32_t q = 0; q < unit.num_questions; ++q) {
    const RecordIndex at{unit.benchmark, variant, unit.first_question + q};
    missing += records.find(at) == nullptr ? 1 : 0;
  }
  return missing;
}

void print_attempt(const Attempt& attempt, double first_s) {
  std::printf(
      "    attempt %d at unit %d: %s, rank %d%s%s, began at %.1f s, took %.1f s\n",
      attempt.attempt,
      attempt.unit,
      printable(attempt.outcome, 300).c_str(),
      attempt.rank,
      attempt.host.empty() ? "" : " on ",
      attempt.host.c_str(),
      attempt.started_s - first_s,
      attempt.elapsed_s);
}

/// Of the failures at a unit that still lacks records, those since the last start: what units are
/// called changes with the plan.
bool is_failure_of(const Attempt& attempt, int32_t unit, const History& history) {
  return attempt.variant_keys.empty() && attempt.unit == unit && !history.starts.empty() &&
         attempt.started_s >= history.starts.back().started_s;
}

void explain_benchmark(
    const Plan& plan,
    const History& history,
    const std::vector<std::vector<std::string>>& keys,
    int32_t benchmark,
    int32_t variant) {
  const double first_s = history.starts.empty() ? 0 : history.starts.front().started_s;
  const auto num_questions = std::ssize(plan.benchmarks[static_cast<size_t>(benchmark)].questions);
  int64_t missing = 0;
  for (const Unit& unit : plan.units) {
    if (unit.benchmark == benchmark &&
        std::find(unit.variants.begin(), unit.variants.end(), variant) != unit.variants.end()) {
      missing += num_missing(history.records, unit, variant);
    }
  }
  std::printf(
      "  %s: %ld of %ld questions\n",
      plan.benchmarks[static_cast<size_t>(benchmark)].name.c_str(),
      num_questions - missing,
      static_cast<int64_t>(num_questions));
  const std::string& key = keys[static_cast<size_t>(variant)][static_cast<size_t>(benchmark)];
  for (const Attempt& attempt : history.attempts) {
    const auto& made = attempt.variant_keys;
    if (std::find(made.begin(), made.end(), key) != made.end()) print_attempt(attempt, first_s);
  }
  for (size_t u = 0; u < plan.units.size(); ++u) {
    const Unit& unit = plan.units[u];
    const auto number = static_cast<int32_t>(u);
    if (unit.benchmark != benchmark ||
        std::find(unit.variants.begin(), unit.variants.end(), variant) == unit.variants.end()) {
      continue;
    }
    const bool has_failed =
        std::any_of(history.attempts.begin(), history.attempts.end(), [&](const Attempt& attempt) {
          return is_failure_of(attempt, number, history);
        });
    for (const Attempt& attempt : history.attempts) {
      if (is_failure_of(attempt, number, history)) print_attempt(attempt, first_s);
    }
    const int32_t count = num_missing(history.records, unit, variant);
    if (count == 0) continue;
    std::printf(
        "    unit %d: %d questions from %d on are missing: %s\n",
        number,
        count,
        unit.first_question,
        has_failed ? "attempts failed" : "not computed yet");
  }
}

void print_quarantine(const Plan& plan, const History& history, int32_t variant) {
  for (const Quarantine& quarantine : history.quarantines) {
    const auto& variants = quarantine.variants;
    if (std::find(variants.begin(), variants.end(), variant) == variants.end()) continue;
    const BenchmarkPlan& benchmark = plan.benchmarks[static_cast<size_t>(quarantine.benchmark)];
    const QuestionInfo& question = benchmark.questions[static_cast<size_t>(quarantine.question)];
    std::printf(
        "  in quarantine: %s%s%s doc_id %d: %s (run --retry-failed asks it again)\n",
        benchmark.name.c_str(),
        question.subject.empty() ? "" : "/",
        question.subject.c_str(),
        question.doc_id,
        printable(quarantine.reason, 300).c_str());
  }
}

}  // namespace

int command_explain(const CommandLine& line) {
  line.require_only({}, 2);
  if (line.positional.size() != 2) bad_input("explain", "needs a run directory and a variant");
  const RunDir run(line.positional.front());
  run.require_run();
  const Plan plan = read_plan(run);
  const int32_t variant = index_of(plan.variants, line.positional.back(), "VARIANT");
  const History history = read_history(plan, run.journals());
  const std::string edits = edits_text(plan.variants[static_cast<size_t>(variant)].edits);
  std::printf(
      "%s (%s): %s, %ld records\n",
      line.positional.back().c_str(),
      edits.empty() ? "the model as it is" : edits.c_str(),
      history.records.is_complete(variant) ? "complete" : "not complete",
      history.records.num_records_of(variant));
  const auto keys = variant_keys(plan);
  for (int32_t benchmark = 0; benchmark < std::ssize(plan.benchmarks); ++benchmark) {
    explain_benchmark(plan, history, keys, benchmark, variant);
  }
  print_quarantine(plan, history, variant);
  if (history.num_unreadable_bytes > 0) {
    std::printf(
        "  %lu bytes of the journals cannot be read; prune-sweep verify %s names the file\n",
        history.num_unreadable_bytes,
        run.path().c_str());
  }
  if (!history.records.is_complete(variant)) {
    std::printf("  the same prune-sweep run goes on with what is missing\n");
  }
  return 0;
}

}  // namespace prune_sweep
