/// \file
/// The result of one variant on one question, and the table of its columns. Journal, messages,
/// archive and the test of results/FORMAT.md iterate the table; a new column is a member and a row
/// in record.cpp.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "prune_sweep/core/bytes.hpp"

namespace prune_sweep {

/// How a benchmark's questions are answered.
enum class BenchmarkKind : uint8_t {
  kMultipleChoice = 0,  ///< the log-likelihoods of given continuations
  kGeneration = 1,      ///< a generated text
};

/// Why a generation ended. Values are on disk: append, never renumber.
enum class StopReason : uint8_t { kEos = 0, kUntil = 1, kLength = 2 };

inline constexpr uint8_t kNotEvaluated = 255;

/// Which members are filled depends on the benchmark's kind: see columns().
struct Record {
  std::vector<float> loglik;  // [choices]
  uint8_t correct = kNotEvaluated;
  uint8_t greedy = kNotEvaluated;  ///< bit c: choice c was the arg-max of the whole vocabulary

  uint8_t strict_correct = kNotEvaluated;
  uint8_t flexible_correct = kNotEvaluated;
  int32_t generated_tokens = -1;
  uint8_t stop = kNotEvaluated;  ///< a StopReason
  std::string response;
  std::string strict_answer;
  std::string flexible_answer;

  bool operator==(const Record&) const = default;
};

/// Where a column's value lives in a Record; the alternative is also its type.
using RecordMember = std::variant<
    std::vector<float> Record::*,  // float32 [choices], missing = NaN
    uint8_t Record::*,             // missing = 255
    int32_t Record::*,             // missing = -1
    std::string Record::*>;        // UTF-8, missing = empty

struct Column {
  std::string_view name;  ///< the data set's name in the archive
  std::string_view unit;  ///< "1" for a number without one
  std::string_view description;
  std::string_view labels;  ///< `0=eos 1=until`, for an enumeration; else empty
  RecordMember member;
};

/// The columns of a kind of benchmark, in the order they are written.
std::span<const Column> columns(BenchmarkKind kind);

/// The column that says whether the headline score counts the question as right.
uint8_t headline_correct(BenchmarkKind kind, const Record& record);

void put_record(ByteWriter& writer, BenchmarkKind kind, const Record& record);
Record get_record(ByteReader& reader, BenchmarkKind kind);

/// Same bits in every column of the kind; unlike ==, a NaN equals itself.
bool same_bytes(BenchmarkKind kind, const Record& a, const Record& b);

}  // namespace prune_sweep
