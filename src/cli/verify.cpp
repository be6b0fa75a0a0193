#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "cli/options.hpp"
#include "cli/run_files.hpp"
#include "prune_sweep/archive/archive_reader.hpp"
#include "prune_sweep/benchmarks/benchmark.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/digest.hpp"

namespace prune_sweep {

namespace {

/// Every problem is told: the first one need not be the cause.
class Verification {
 public:
  void problem(const std::string& text) {
    spdlog::error("{}", text);
    ++num_problems_;
  }
  int exit_status() const {
    if (num_problems_ == 0) std::printf("verified\n");
    return static_cast<int>(num_problems_ == 0 ? ExitStatus::kComplete : ExitStatus::kBadInput);
  }

 private:
  int num_problems_ = 0;
};

std::string place_text(const Plan& plan, RecordIndex at) {
  return plan.benchmarks[static_cast<size_t>(at.benchmark)].name + ", variant " +
         plan.variants[static_cast<size_t>(at.variant)].name + ", question " +
         std::to_string(at.question);
}

/// Calls `visit(place)` for every place of the plan.
template <typename Visit>
void for_each_place(const Plan& plan, Visit visit) {
  for (int32_t b = 0; b < std::ssize(plan.benchmarks); ++b) {
    const auto num_questions = std::ssize(plan.benchmarks[static_cast<size_t>(b)].questions);
    for (int32_t v = 0; v < std::ssize(plan.variants); ++v) {
      for (int32_t q = 0; q < num_questions; ++q) visit(RecordIndex{b, v, q});
    }
  }
}

/// Makes the scores again from what was measured.
void verify_scores(
    const std::string& source,
    const Plan& plan,
    const RecordTable& records,
    Verification& verification) {
  std::optional<RecordIndex> first_wrong;
  int64_t num_wrong = 0;
  for_each_place(plan, [&](RecordIndex at) {
    const BenchmarkPlan& benchmark = plan.benchmarks[static_cast<size_t>(at.benchmark)];
    const Record* record = records.find(at);
    if (record == nullptr) return;
    Record again = *record;
    benchmark_info(benchmark.name)
        .score(benchmark.questions[static_cast<size_t>(at.question)].gold, again);
    if (same_bytes(benchmark.kind, *record, again)) return;
    ++num_wrong;
    if (!first_wrong) first_wrong = at;
  });
  if (first_wrong) {
    verification.problem(
        source + ": " + place_text(plan, *first_wrong) +
        ": scores do not follow from the answer (" + std::to_string(num_wrong) + " such records)");
  } else {
    std::printf(
        "%s: scores of %ld records follow from the answers\n",
        source.c_str(),
        records.num_records());
  }
}

std::optional<ArchiveContent> verify_archive(
    const std::filesystem::path& path, Verification& verification) {
  try {
    ArchiveContent content = read_archive(path);
    std::printf(
        "%s: sha256 %s, %s, %zu data sets with their scales, %ld of %ld records\n",
        path.c_str(),
        content.sha256.c_str(),
        content.state.c_str(),
        content.num_data_sets,
        content.records.num_records(),
        content.plan.num_records());
    verify_scores(path.string(), content.plan, content.records, verification);
    return content;
  } catch (const Error& error) {
    verification.problem(error.what());
    return std::nullopt;
  }
}

std::optional<Plan> verify_plan(const RunDir& run, Verification& verification) {
  try {
    Plan plan = read_plan(run);
    const std::string sha256 = plan_sha256(plan);
    if (sha256_file(run.plan()) != sha256) {
      bad_input(run.plan().string(), "altered: not the text that a start writes");
    }
    std::printf(
        "%s: sha256 %s, %zu variants, %zu units\n",
        run.plan().c_str(),
        sha256.c_str(),
        plan.variants.size(),
        plan.units.size());
    return plan;
  } catch (const Error& error) {
    verification.problem(error.what());
    return std::nullopt;
  }
}

void verify_journal(
    const std::filesystem::path& path, HistoryBuilder* history, Verification& verification) {
  const std::string bytes = read_text_file(path);
  const Replay journal = replay(bytes);
  std::printf("%s: %zu entries in %zu bytes\n", path.c_str(), journal.entries.size(), bytes.size());
  const uint64_t unreadable = journal.num_damaged_bytes + journal.num_torn_bytes;
  if (unreadable > 0) {
    verification.problem(
        path.string() + ": " + std::to_string(unreadable) + " bytes cannot be read (altered, or " +
        (journal.num_damaged_bytes > 0 ? "damaged in the middle"
                                       : "a last write that was cut short") +
        ") A start computes what they held again; prune-sweep merge copies the rest.");
  }
  if (history != nullptr) history->add(journal);
}

/// With NaN for choices that a question does not have, as archives write them.
Record padded(Record record, const BenchmarkPlan& benchmark) {
  if (benchmark.kind == BenchmarkKind::kMultipleChoice) {
    record.loglik.resize(static_cast<size_t>(benchmark.num_choices), std::nanf(""));
  }
  return record;
}

void verify_agreement(
    const RunDir& run,
    const Plan& plan,
    const RecordTable& records,
    const ArchiveContent& archive,
    Verification& verification) {
  if (archive.plan_sha256 != plan_sha256(plan)) {
    verification.problem(
        run.archive().string() + ": plan_sha256 " + archive.plan_sha256 +
        " (plan.json is another plan) prune-sweep pack " + run.path().string() +
        " makes the archive of this one.");
    return;
  }
  int64_t num_not_packed = 0;
  std::optional<RecordIndex> lost;
  std::optional<RecordIndex> different;
  for_each_place(plan, [&](RecordIndex at) {
    const BenchmarkPlan& benchmark = plan.benchmarks[static_cast<size_t>(at.benchmark)];
    const Record* in_journal = records.find(at);
    const Record* in_archive = archive.records.find(at);
    if (in_journal == nullptr && in_archive != nullptr) lost = lost.value_or(at);
    if (in_journal != nullptr && in_archive == nullptr) ++num_not_packed;
    if (in_journal != nullptr && in_archive != nullptr &&
        !same_bytes(benchmark.kind, padded(*in_journal, benchmark), *in_archive)) {
      different = different.value_or(at);
    }
  });
  if (lost) {
    verification.problem(
        run.path().string() + ": " + place_text(plan, *lost) +
        " is in the archive and not in the journals");
  }
  if (different) {
    verification.problem(
        run.path().string() + ": " + place_text(plan, *different) +
        " has other bits in the archive than in the journals");
  }
  if (!lost && !different) {
    std::printf(
        "%s: archive and journals agree; %ld records are not packed yet\n",
        run.path().c_str(),
        num_not_packed);
  }
}

void verify_run(const RunDir& run, Verification& verification) {
  run.require_run();
  const std::optional<Plan> plan = verify_plan(run, verification);
  std::optional<HistoryBuilder> builder;
  if (plan) builder.emplace(*plan);
  for (const auto& path : run.journals()) {
    verify_journal(path, builder ? &*builder : nullptr, verification);
  }
  std::optional<ArchiveContent> archive;
  if (std::filesystem::exists(run.archive())) archive = verify_archive(run.archive(), verification);
  if (!builder) return;
  const History history = builder->take();
  std::printf(
      "%s: %ld of %ld records, %ld foreign ones, %ld of %ld second computations differed\n",
      run.path().c_str(),
      history.records.num_records(),
      plan->num_records(),
      history.num_foreign_records,
      history.num_duplicates_different,
      history.num_duplicates_same + history.num_duplicates_different);
  if (archive) {
    verify_agreement(run, *plan, history.records, *archive, verification);
  } else {
    verify_scores(run.path().string(), *plan, history.records, verification);
  }
}

}  // namespace

int command_verify(const CommandLine& line) {
  line.require_only({}, 1);
  if (line.positional.empty()) bad_input("verify", "needs a run directory or an archive");
  const std::filesystem::path path = line.positional.front();
  Verification verification;
  if (std::filesystem::is_directory(path)) {
    verify_run(RunDir(path), verification);
  } else {
    verify_archive(path, verification);
  }
  return verification.exit_status();
}

}  // namespace prune_sweep
