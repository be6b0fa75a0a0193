#include "prune_sweep/sweep/history.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/sweep/run_dir.hpp"

namespace prune_sweep {

HistoryBuilder::HistoryBuilder(const Plan& plan) : plan_(&plan), history_(plan) {
  const auto keys = variant_keys(plan);
  for (size_t variant = 0; variant < keys.size(); ++variant) {
    for (size_t benchmark = 0; benchmark < keys[variant].size(); ++benchmark) {
      Places& places = places_by_key_[keys[variant][benchmark]];
      places.benchmark = static_cast<int32_t>(benchmark);
      places.variants.push_back(static_cast<int32_t>(variant));
    }
  }
  for (size_t b = 0; b < plan.benchmarks.size(); ++b) {
    const BenchmarkPlan& benchmark = plan.benchmarks[b];
    for (size_t question = 0; question < benchmark.questions.size(); ++question) {
      question_by_key_[question_key(benchmark, benchmark.questions[question])] = {b, question};
    }
  }
}

void HistoryBuilder::add_record(
    const std::string& variant_key,
    const std::string& question_key,
    BenchmarkKind kind,
    const Record& record) {
  const auto places = places_by_key_.find(variant_key);
  const auto question = question_by_key_.find(question_key);
  const bool has_place =
      places != places_by_key_.end() && question != question_by_key_.end() &&
      places->second.benchmark == question->second.first &&
      plan_->benchmarks[static_cast<size_t>(question->second.first)].kind == kind;
  if (!has_place) {
    ++history_.num_foreign_records;
    return;
  }
  const auto& [benchmark, variants] = places->second;
  // Variants that are the same model have the same records: what holds for one place holds for all.
  RecordTable::Insert outcome = RecordTable::Insert::kNew;
  for (const int32_t variant : variants) {
    outcome = history_.records.insert({benchmark, variant, question->second.second}, record);
  }
  history_.num_duplicates_same += outcome == RecordTable::Insert::kSame ? 1 : 0;
  history_.num_duplicates_different += outcome == RecordTable::Insert::kDifferent ? 1 : 0;
}

void HistoryBuilder::add_attempt(Attempt attempt) {
  const auto host = host_by_rank_.find(attempt.rank);
  if (host != host_by_rank_.end()) attempt.host = host->second;
  history_.attempts.push_back(std::move(attempt));
}

void HistoryBuilder::add_result(const ResultEntry& entry) {
  add_attempt(
      {entry.unit,
       entry.attempt,
       entry.rank,
       entry.started_s,
       entry.elapsed_s,
       "committed",
       "",
       entry.variant_keys,
       entry.phases_s});
  std::set<std::string> seen;
  const size_t num_questions = entry.question_keys.size();
  for (size_t v = 0; v < entry.variant_keys.size(); ++v) {
    // The baseline under another name, computed with it: no second copy.
    if (!seen.insert(entry.variant_keys[v]).second) continue;
    for (size_t q = 0; q < num_questions; ++q) {
      add_record(
          entry.variant_keys[v],
          entry.question_keys[q],
          entry.kind,
          entry.records[v * num_questions + q]);
    }
  }
}

void HistoryBuilder::add_quarantine(const QuarantineEntry& entry) {
  const auto question = question_by_key_.find(entry.question_key);
  if (question == question_by_key_.end()) return;
  Quarantine quarantine{question->second.first, question->second.second, {}, entry.reason};
  for (const std::string& key : entry.variant_keys) {
    const auto places = places_by_key_.find(key);
    if (places == places_by_key_.end()) continue;
    for (const int32_t variant : places->second.variants) {
      if (std::find(quarantine.variants.begin(), quarantine.variants.end(), variant) ==
          quarantine.variants.end()) {
        quarantine.variants.push_back(variant);
      }
    }
  }
  if (!quarantine.variants.empty()) history_.quarantines.push_back(std::move(quarantine));
}

History HistoryBuilder::take() {
  // A question that was tried again with success is in quarantine no longer.
  for (Quarantine& quarantine : history_.quarantines) {
    std::erase_if(quarantine.variants, [&](int32_t variant) {
      return history_.records.find({quarantine.benchmark, variant, quarantine.question}) != nullptr;
    });
  }
  std::erase_if(history_.quarantines, [](const Quarantine& each) { return each.variants.empty(); });
  return std::move(history_);
}

void HistoryBuilder::add(const JournalEntry& entry) {
  if (const auto* start = std::get_if<StartEntry>(&entry)) {
    history_.starts.push_back(*start);
  } else if (const auto* worker = std::get_if<WorkerEntry>(&entry)) {
    history_.workers.push_back(*worker);
    host_by_rank_[worker->rank] = worker->host;
  } else if (!digests_.insert(sha256_hex(journal_bytes(entry, 0))).second) {
    // An attempt tells when it was made: two that are equal are one.
    ++history_.num_repeated_entries;
  } else if (const auto* failure = std::get_if<FailureEntry>(&entry)) {
    add_attempt(
        {failure->unit,
         failure->attempt,
         failure->rank,
         failure->started_s,
         failure->elapsed_s,
         failure->text});
  } else if (const auto* quarantine = std::get_if<QuarantineEntry>(&entry)) {
    add_quarantine(*quarantine);
  } else if (const auto* duplicate = std::get_if<DuplicateEntry>(&entry)) {
    history_.num_duplicates_same += duplicate->num_same;
    history_.num_duplicates_different += duplicate->num_different;
  } else {
    add_result(std::get<ResultEntry>(entry));
  }
}

void HistoryBuilder::add(const Replay& replay) {
  history_.num_unreadable_bytes += replay.num_damaged_bytes + replay.num_torn_bytes;
  for (const JournalEntry& entry : replay.entries) add(entry);
}

History read_history(const Plan& plan, const std::vector<std::filesystem::path>& journals) {
  HistoryBuilder builder(plan);
  for (const auto& path : journals) builder.add(replay(read_text_file(path)));
  return builder.take();
}

}  // namespace prune_sweep
