#include "prune_sweep/core/record_table.hpp"

#include <algorithm>
#include <stdexcept>

namespace prune_sweep {

RecordTable::RecordTable(const Plan& plan) : num_records_by_variant_(plan.variants.size(), 0) {
  for (const BenchmarkPlan& benchmark : plan.benchmarks) {
    const size_t num_questions = benchmark.questions.size();
    benchmarks_.push_back({benchmark.kind, num_questions, {}, {}});
    for (const QuestionInfo& question : benchmark.questions) {
      benchmarks_.back().prompt_tokens.push_back(question.prompt_tokens);
    }
    benchmarks_.back().records.resize(plan.variants.size() * num_questions);
    questions_per_variant_ += static_cast<int64_t>(num_questions);
  }
}

size_t RecordTable::place_of(RecordIndex at) const {
  const Benchmark& benchmark = benchmarks_.at(static_cast<size_t>(at.benchmark));
  const auto variant = static_cast<size_t>(at.variant);
  const auto question = static_cast<size_t>(at.question);
  if (variant >= num_records_by_variant_.size() || question >= benchmark.num_questions) {
    throw std::out_of_range("RecordTable: no such place");
  }
  return variant * benchmark.num_questions + question;
}

RecordTable::Insert RecordTable::insert(RecordIndex at, Record record) {
  const size_t index = place_of(at);
  Benchmark& benchmark = benchmarks_[static_cast<size_t>(at.benchmark)];
  std::optional<Record>& place = benchmark.records[index];
  if (place) {
    return *place == record ? Insert::kSame : Insert::kDifferent;
  }
  variant_tokens_ += benchmark.prompt_tokens[static_cast<size_t>(at.question)] +
                     std::max(0, record.generated_tokens);
  place = std::move(record);
  ++num_records_;
  ++num_records_by_variant_.at(static_cast<size_t>(at.variant));
  return Insert::kNew;
}

const Record* RecordTable::find(RecordIndex at) const {
  const size_t index = place_of(at);
  const std::optional<Record>& place =
      benchmarks_[static_cast<size_t>(at.benchmark)].records[index];
  return place ? &*place : nullptr;
}

int64_t RecordTable::num_records_of(int32_t variant) const {
  return num_records_by_variant_.at(static_cast<size_t>(variant));
}

bool RecordTable::is_complete(int32_t variant) const {
  return num_records_of(variant) == questions_per_variant_;
}

std::optional<double> RecordTable::accuracy(int32_t benchmark, int32_t variant) const {
  const Benchmark& table = benchmarks_.at(static_cast<size_t>(benchmark));
  int64_t evaluated = 0;
  int64_t correct = 0;
  for (size_t question = 0; question < table.num_questions; ++question) {
    const Record* record = find({benchmark, variant, static_cast<int32_t>(question)});
    if (record == nullptr) continue;
    ++evaluated;
    correct += headline_correct(table.kind, *record) == 1 ? 1 : 0;
  }
  if (evaluated == 0) return std::nullopt;
  return static_cast<double>(correct) / static_cast<double>(evaluated);
}

}  // namespace prune_sweep
