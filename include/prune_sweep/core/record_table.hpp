/// \file
/// All records of a plan in memory: what is there, what is missing.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "prune_sweep/core/plan.hpp"
#include "prune_sweep/core/record.hpp"

namespace prune_sweep {

/// Where a record stands in a plan.
struct RecordIndex {
  int32_t benchmark = 0;
  int32_t variant = 0;
  int32_t question = 0;

  auto operator<=>(const RecordIndex&) const = default;
};

class RecordTable {
 public:
  explicit RecordTable(const Plan& plan);

  enum class Insert { kNew, kSame, kDifferent };
  /// The first record of a place stays; a second one is only compared with it. Throws
  /// std::out_of_range for a place that the plan does not have, as all functions here do.
  Insert insert(RecordIndex at, Record record);

  /// The record, or nullptr when there is none yet.
  const Record* find(RecordIndex at) const;

  int64_t num_records() const { return num_records_; }
  /// Prompt and generated tokens of all records, as if every variant had answered every question
  /// alone: what work without any sharing would have had to go through.
  int64_t variant_tokens() const { return variant_tokens_; }
  int64_t num_records_of(int32_t variant) const;
  bool is_complete(int32_t variant) const;

  /// Mean of the headline column over the evaluated questions; nothing when there is none.
  std::optional<double> accuracy(int32_t benchmark, int32_t variant) const;

 private:
  struct Benchmark {
    BenchmarkKind kind;
    size_t num_questions;
    std::vector<int32_t> prompt_tokens;          // [questions]
    std::vector<std::optional<Record>> records;  // [variants * questions]
  };

  /// Index of a place in its benchmark's records.
  size_t place_of(RecordIndex at) const;

  std::vector<Benchmark> benchmarks_;
  std::vector<int64_t> num_records_by_variant_;
  int64_t questions_per_variant_ = 0;
  int64_t num_records_ = 0;
  int64_t variant_tokens_ = 0;
};

}  // namespace prune_sweep
