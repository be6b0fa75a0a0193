/// \file
/// What the journals of a run say, in terms of a plan.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/core/record_table.hpp"
#include "prune_sweep/sweep/journal.hpp"

namespace prune_sweep {

/// One attempt at a unit, committed or failed.
struct Attempt {
  int32_t unit = 0;
  int32_t attempt = 0;
  int32_t rank = 0;
  double started_s = 0;  ///< seconds since 1970-01-01 UTC
  double elapsed_s = 0;
  std::string outcome;  ///< "committed" or the failure's text
  std::string host;     ///< of the evaluator that the rank had then; empty when it is not known
  std::vector<std::string> variant_keys;  ///< whose records it gave
  PhaseSeconds phases_s{};
};

/// A question that is not evaluated for some variants, and why.
struct Quarantine {
  int32_t benchmark = 0;
  int32_t question = 0;
  std::vector<int32_t> variants;
  std::string reason;
};

struct History {
  explicit History(const Plan& plan) : records(plan) {}

  RecordTable records;
  std::vector<StartEntry> starts;
  std::vector<WorkerEntry> workers;
  std::vector<Attempt> attempts;
  std::vector<Quarantine> quarantines;  ///< those that no later result made void
  /// Records that were there already: the same bits again, or others. The first one stays.
  int64_t num_duplicates_same = 0;
  int64_t num_duplicates_different = 0;
  /// Of another model, data, rule or variant list: kept in the journal, not used.
  int64_t num_foreign_records = 0;
  /// Written again after an error of the disk, or a copied file: the same, not made a second time.
  int64_t num_repeated_entries = 0;
  uint64_t num_unreadable_bytes = 0;
};

/// Adds journal entries to a history, matching records to places by their keys.
class HistoryBuilder {
 public:
  explicit HistoryBuilder(const Plan& plan);

  void add(const JournalEntry& entry);
  /// All entries of a file, damage counted.
  void add(const Replay& replay);

  /// What has been added so far.
  const History& history() const { return history_; }
  History take();

 private:
  void add_attempt(Attempt attempt);
  void add_result(const ResultEntry& entry);
  void add_quarantine(const QuarantineEntry& entry);
  void add_record(
      const std::string& variant_key,
      const std::string& question_key,
      BenchmarkKind kind,
      const Record& record);

  const Plan* plan_;
  History history_;
  /// What a variant's key stands for: a benchmark, and every variant that is the same model.
  struct Places {
    int32_t benchmark = 0;
    std::vector<int32_t> variants;
  };
  std::map<std::string, Places> places_by_key_;
  std::map<std::string, std::pair<int32_t, int32_t>> question_by_key_;  // (benchmark, question)
  std::map<int32_t, std::string> host_by_rank_;
  std::set<std::string> digests_;  // of the attempts seen
};

/// Replays the journal files in order. Throws Error (kBadInput) naming a file that cannot be read.
History read_history(const Plan& plan, const std::vector<std::filesystem::path>& journals);

}  // namespace prune_sweep
