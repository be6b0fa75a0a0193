/// \file
/// What the rest of the program needs to know of a benchmark, and the table of benchmarks.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/benchmarks/prompt.hpp"
#include "prune_sweep/core/job.hpp"
#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/core/record.hpp"

namespace prune_sweep {

/// One item of a benchmark, ready to be asked.
struct Question {
  std::string subject;               ///< empty where the benchmark has none
  int32_t doc_id = 0;                ///< row in the test file
  std::string prompt;                ///< few-shot exemplars included
  std::vector<std::string> choices;  ///< continuations to score (kMultipleChoice)
  int32_t gold_choice = -1;          ///< index of the right one
  std::string target;  ///< what the harness calls the target: "1", or the whole gold answer
  std::string
      solution;      ///< the target as continuation of the prompt (kGeneration), if to be scored
  std::string gold;  ///< short form for tables: the index, or the final number
  std::string doc_json;  ///< the row as the hub's JSON object, members in the hub's order, compact
};

/// A benchmark is questions, the rule that ends an answer, and a score. Prompts and scores are
/// those of lm-evaluation-harness; each implementation names the task and its version.
class Benchmark {
 public:
  virtual ~Benchmark() = default;

  virtual std::string_view name() const = 0;
  virtual BenchmarkKind kind() const = 0;
  /// The questions the request selects, in a fixed order: subject by subject, then by doc_id.
  virtual std::span<const Question> questions() const = 0;
  /// A generation ends before the first of these (kGeneration).
  virtual std::vector<std::string> stop_strings() const = 0;
  /// Fills the columns that follow from the measured ones: `correct` and `gold_probability` from
  /// `loglik`, or the answers and their correctness from `response`.
  virtual void score(const Question& question, Record& record) const = 0;
  /// The lines that lm-evaluation-harness's --log_samples would hold for this record, one JSON text
  /// each.
  virtual std::vector<std::string> samples(
      const Question& question, const Record& record) const = 0;
};

/// One row of the table of benchmarks.
struct BenchmarkInfo {
  std::string_view name;
  std::string_view summary;
  BenchmarkKind kind;
  int32_t num_choices;  ///< kMultipleChoice, else 0
  /// Version of prompt and score rules; part of every record's key. Change it when a rule changes.
  std::string_view rules;
  /// As Benchmark::score, from the short gold of tables: what an archive alone lets us make again.
  void (*score)(std::string_view gold, Record& record);
  /// Reads the data files. Throws Error (kBadInput) naming file and line.
  std::unique_ptr<Benchmark> (*read)(const BenchmarkRequest& request, const PromptStyle& style);
};

std::span<const BenchmarkInfo> benchmark_table();
std::vector<std::string> benchmark_names();
/// The row of `name`. Throws Error (kBadInput) listing the known names.
const BenchmarkInfo& benchmark_info(std::string_view name);

}  // namespace prune_sweep
