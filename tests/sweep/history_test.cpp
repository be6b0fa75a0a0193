#include "prune_sweep/sweep/history.hpp"

#include <algorithm>
#include <set>

#include "core/message_of.hpp"
#include "core/plans.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace {

constexpr int32_t kLayers = 4;

/// baseline, drop-00, magnitude-00 on two benchmarks of three questions each.
Plan small_plan() {
  return make_plan(
      some_context(),
      small_shape(kLayers),
      {{"baseline", {}}, {"drop-00", {{0, EditKind::kDrop}}}, pruned(kLayers, 0)},
      {choice_benchmark("mmlu", {2, 1}, 10, 5), choice_benchmark("arc", {3}, 10, 5)});
}

Record record_of(float loglik) {
  Record record;
  record.loglik = {loglik, -2, -3, -4};
  record.correct = 1;
  return record;
}

/// What a worker would have written: `variants` x `questions` of a benchmark, all with this
/// log-likelihood.
ResultEntry entry_of(
    const Plan& plan,
    int32_t benchmark,
    const std::vector<int32_t>& variants,
    const std::vector<int32_t>& questions,
    float loglik = -1) {
  const auto keys = variant_keys(plan);
  const BenchmarkPlan& info = plan.benchmarks[static_cast<size_t>(benchmark)];
  ResultEntry entry{.unit = 1, .attempt = 1, .rank = 2, .started_s = 3, .elapsed_s = 4};
  entry.kind = info.kind;
  for (const int32_t variant : variants) {
    entry.variant_keys.push_back(
        keys[static_cast<size_t>(variant)][static_cast<size_t>(benchmark)]);
  }
  for (const int32_t question : questions) {
    entry.question_keys.push_back(
        question_key(info, info.questions[static_cast<size_t>(question)]));
  }
  entry.records.assign(variants.size() * questions.size(), record_of(loglik));
  return entry;
}

History history_of(const Plan& plan, const std::vector<JournalEntry>& entries) {
  HistoryBuilder builder(plan);
  for (const JournalEntry& entry : entries) builder.add(entry);
  return builder.take();
}

}  // namespace

TEST_CASE("records find their places by their keys, in any order") {
  const Plan plan = small_plan();
  ResultEntry entry = entry_of(plan, 1, {1, 0}, {2, 0});
  for (int i = 0; i < 4; ++i)
    entry.records[static_cast<size_t>(i)] = record_of(static_cast<float>(-i));
  const History history = history_of(plan, {entry});
  const auto loglik = [&](RecordIndex at) {
    REQUIRE(history.records.find(at) != nullptr);
    return history.records.find(at)->loglik[0];
  };
  CHECK(loglik({1, 1, 2}) == 0);
  CHECK(loglik({1, 1, 0}) == -1);
  CHECK(loglik({1, 0, 2}) == -2);
  CHECK(loglik({1, 0, 0}) == -3);
  CHECK(history.records.find({1, 1, 1}) == nullptr);
  CHECK(history.records.find({0, 1, 2}) == nullptr);
  CHECK(history.num_duplicates_same + history.num_duplicates_different == 0);
  CHECK(history.num_foreign_records == 0);
}

TEST_CASE("baseline and magnitude 0 share their records, and that is no duplicate") {
  const Plan plan = small_plan();
  const History both = history_of(plan, {entry_of(plan, 0, {0, 1, 2}, {0, 1, 2})});
  CHECK(both.records.num_records() == 9);
  CHECK(both.num_duplicates_same + both.num_duplicates_different == 0);

  const History baseline_alone = history_of(plan, {entry_of(plan, 0, {0}, {0, 1, 2})});
  CHECK(baseline_alone.records.num_records_of(0) == 3);
  CHECK(baseline_alone.records.num_records_of(2) == 3);
  CHECK(baseline_alone.records.num_records_of(1) == 0);
  CHECK(baseline_alone.num_duplicates_same + baseline_alone.num_duplicates_different == 0);
}

TEST_CASE("a second copy of a record is compared with the first and counted once") {
  const Plan plan = small_plan();
  const History history = history_of(
      plan,
      {entry_of(plan, 0, {0, 1, 2}, {0, 1}, -1),
       entry_of(plan, 0, {0, 1}, {1, 2}, -1),  // question 1 again: 2 records
       entry_of(plan, 0, {1}, {0}, -7),        // another value
       entry_of(plan, 0, {0}, {0, 1}, -7)});   // another value, twice
  CHECK(history.num_duplicates_same == 2);
  CHECK(history.num_duplicates_different == 3);
  CHECK(history.records.find({0, 1, 0})->loglik[0] == -1);
  CHECK(history.records.num_records() == 9);
}

TEST_CASE("records of another model, other data or other rules are counted and not used") {
  const Plan plan = small_plan();
  Plan other_model = plan;
  other_model.context.model_sha256 = "another";
  Plan other_rules = plan;
  other_rules.benchmarks[0].rules = "others";
  Plan other_data = plan;
  other_data.benchmarks[0].questions[1].prompt_sha256 = "another";
  const History history = history_of(
      plan,
      {entry_of(other_model, 0, {0, 1}, {0, 1, 2}),
       entry_of(other_rules, 0, {0}, {0}),
       entry_of(other_data, 0, {0, 1}, {0, 1})});
  CHECK(history.num_foreign_records == 6 + 1 + 2);
  CHECK(history.records.num_records() == 3);  // question 0 of baseline, drop-00 and magnitude-00
  CHECK(history.records.find({0, 0, 1}) == nullptr);
}

TEST_CASE("a record whose question is of another benchmark than its variant's key is foreign") {
  const Plan plan = small_plan();
  ResultEntry entry = entry_of(plan, 0, {1}, {0, 1});
  entry.question_keys = entry_of(plan, 1, {1}, {0, 1}).question_keys;
  ResultEntry other_kind = entry_of(plan, 0, {1}, {2});
  other_kind.kind = BenchmarkKind::kGeneration;
  const History history = history_of(plan, {entry, other_kind});
  CHECK(history.records.num_records() == 0);
  CHECK(history.num_foreign_records == 3);
}

TEST_CASE("records outlive a plan that grows, shrinks and changes its order") {
  const Plan plan = small_plan();
  const std::vector<JournalEntry> entries{entry_of(plan, 0, {0, 1, 2}, {0, 1, 2})};
  BenchmarkPlan shorter = plan.benchmarks[0];
  std::swap(shorter.questions[0], shorter.questions[2]);
  shorter.questions.pop_back();
  const Plan changed = make_plan(
      some_context(),
      small_shape(kLayers),
      {{"mine", {{0, EditKind::kDrop}}}, {"new", {{1, EditKind::kDrop}}}},
      {shorter});
  const History history = history_of(changed, entries);
  CHECK(history.records.num_records() == 2);
  CHECK(history.records.num_records_of(0) == 2);
  CHECK(
      history.num_foreign_records ==
      3 + 1);  // the baseline's three, and a question that is left out
}

TEST_CASE("starts, workers and attempts are kept in order") {
  const Plan plan = small_plan();
  const History history = history_of(
      plan,
      {StartEntry{"run", "line", "0.1.0", 1},
       WorkerEntry{0, "host", "cpu", "2.11"},
       FailureEntry{7, 1, 3, 10, 2, false, "signal 9 (Killed)"},
       entry_of(plan, 0, {0}, {0}),
       StartEntry{"run", "again", "0.1.0", 2}});
  REQUIRE(history.starts.size() == 2);
  CHECK(history.starts[1].command_line == "again");
  REQUIRE(history.workers.size() == 1);
  CHECK(history.workers[0].host == "host");
  REQUIRE(history.attempts.size() == 2);
  CHECK(history.attempts[0].unit == 7);
  CHECK(history.attempts[0].rank == 3);
  CHECK(history.attempts[0].started_s == 10);
  CHECK(history.attempts[0].elapsed_s == 2);
  CHECK(history.attempts[0].outcome == "signal 9 (Killed)");
  CHECK(history.attempts[1].unit == 1);
  CHECK(history.attempts[1].attempt == 1);
  CHECK(history.attempts[1].outcome == "committed");
}

TEST_CASE("copied and reordered journals give the same records, and are no second computation") {
  const Plan plan = small_plan();
  std::vector<JournalEntry> entries;
  for (int32_t question = 0; question < 3; ++question) {
    entries.push_back(entry_of(plan, 0, {0, 1}, {question}, -static_cast<float>(question)));
    entries.push_back(entry_of(plan, 1, {1}, {question}, -9));
  }
  const auto loglik = [&](const History& history) {
    std::vector<float> values;
    for (int32_t question = 0; question < 3; ++question) {
      values.push_back(history.records.find({0, 1, question})->loglik[0]);
      values.push_back(history.records.find({1, 1, question})->loglik[0]);
    }
    return values;
  };
  const History once = history_of(plan, entries);
  std::vector<JournalEntry> more(entries.rbegin(), entries.rend());
  more.insert(more.end(), entries.begin(), entries.end());
  const History history = history_of(plan, more);
  CHECK(history.num_repeated_entries == 6);
  CHECK(history.num_duplicates_same + history.num_duplicates_different == 0);
  CHECK(history.attempts.size() == 6);
  CHECK(history.records.num_records() == once.records.num_records());
  CHECK(loglik(history) == loglik(once));
  const FailureEntry failure{7, 1, 3, 10, 2, false, "signal 9 (Killed)"};
  CHECK(history_of(plan, {failure, failure}).attempts.size() == 1);
}

TEST_CASE("an attempt is of the host where its rank was then") {
  const Plan plan = small_plan();
  ResultEntry later = entry_of(plan, 0, {0}, {1});
  later.started_s = 50;
  const History history = history_of(
      plan,
      {WorkerEntry{2, "alpha", "cpu", ""},
       entry_of(plan, 0, {0}, {0}),
       WorkerEntry{2, "beta", "cpu", ""},
       later,
       FailureEntry{1, 1, 5, 0, 0, false, "lost"}});
  REQUIRE(history.attempts.size() == 3);
  CHECK(history.attempts[0].host == "alpha");
  CHECK(history.attempts[1].host == "beta");
  CHECK(history.attempts[2].host.empty());
  CHECK(history.attempts[0].variant_keys == later.variant_keys);
}

TEST_CASE("journal files are read one after the other, and unreadable bytes are counted") {
  const Plan plan = small_plan();
  const TempDir dir;
  const std::string first = journal_bytes(entry_of(plan, 0, {0}, {0}, -1), 0);
  const std::string second = journal_bytes(entry_of(plan, 0, {0}, {0}, -9), 0);
  const std::vector<std::filesystem::path> files{
      dir.write("journal-0001.bin", first + "torn"), dir.write("journal-0002.bin", "xyz" + second)};
  const History history = read_history(plan, files);
  CHECK(history.records.find({0, 0, 0})->loglik[0] == -1);
  CHECK(history.num_duplicates_different == 1);
  CHECK(history.num_unreadable_bytes == 4 + 3);
  CHECK(read_history(plan, {}).records.num_records() == 0);
  CHECK(read_history(plan, {dir.write("empty.bin", "")}).num_unreadable_bytes == 0);
}

TEST_CASE("a journal that cannot be read is refused by name") {
  const TempDir dir;
  for (const auto& path : {dir.path() / "missing.bin", dir.path()}) {
    CHECK_THAT(
        refusal_of([&] { read_history(small_plan(), {path}); }), ContainsSubstring(path.string()));
  }
}

TEST_CASE("a question in quarantine has its reason, until a result makes it void") {
  const Plan plan = small_plan();
  const ResultEntry later = entry_of(plan, 0, {0, 1, 2}, {1});
  const QuarantineEntry kept{
      .unit = 1,
      .rank = 2,
      .at_s = 3,
      .variant_keys = later.variant_keys,
      .question_key = later.question_keys[0],
      .reason = "signal 11"};
  QuarantineEntry foreign = kept;
  foreign.question_key = "of another plan";

  std::string file;
  for (const JournalEntry& entry : {JournalEntry(kept), JournalEntry(foreign)}) {
    file += journal_bytes(entry, 0);
  }
  HistoryBuilder builder(plan);
  builder.add(replay(file));
  const History history = builder.take();
  CHECK(history.num_unreadable_bytes == 0);
  REQUIRE(history.quarantines.size() == 1);
  CHECK(history.quarantines[0].benchmark == 0);
  CHECK(history.quarantines[0].question == 1);
  CHECK(
      std::set<int32_t>(
          history.quarantines[0].variants.begin(), history.quarantines[0].variants.end()) ==
      std::set<int32_t>{0, 1, 2});
  CHECK(history.quarantines[0].reason == "signal 11");

  CHECK(history_of(plan, {kept, later}).quarantines.empty());
  const ResultEntry some = entry_of(plan, 0, {1}, {1});
  const auto rest = history_of(plan, {kept, some}).quarantines;
  REQUIRE(rest.size() == 1);
  CHECK(std::count(rest[0].variants.begin(), rest[0].variants.end(), 1) == 0);
}

TEST_CASE("what the master compared counts as what the journals hold twice") {
  const Plan plan = small_plan();
  const DuplicateEntry duplicate{1, 2, 3, 40, 2};
  HistoryBuilder builder(plan);
  builder.add(replay(journal_bytes(duplicate, 7)));
  const History history = builder.take();
  CHECK(history.num_duplicates_same == 40);
  CHECK(history.num_duplicates_different == 2);
}
