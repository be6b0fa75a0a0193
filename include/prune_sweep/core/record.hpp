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
enum class StopReason : uint8_t {
  kEos = 0,
  kUntil = 1,
  kLength = 2,
  kNotFinite = 3,  ///< the model gave a NaN or an infinity instead of a next token
};

inline constexpr uint8_t kNotEvaluated = 255;

/// The answer extracted from a text that has none.
inline constexpr std::string_view kInvalidAnswer = "[invalid]";

/// Which members are filled depends on the benchmark's kind: see columns().
struct Record {
  std::vector<float> loglik;  // [choices]; a NaN beside a `correct` was computed, not left out
  uint8_t correct = kNotEvaluated;
  uint8_t greedy = kNotEvaluated;  ///< bit c: choice c was the arg-max of the whole vocabulary
  /// exp(loglik[gold]) / sum over choices of exp(loglik[choice])
  float gold_probability = std::numeric_limits<float>::quiet_NaN();

  uint8_t strict_correct = kNotEvaluated;
  uint8_t flexible_correct = kNotEvaluated;
  int32_t generated_tokens = -1;
  uint8_t stop = kNotEvaluated;  ///< a StopReason
  std::string response;
  std::string strict_answer;
  std::string flexible_answer;
  /// Of the gold solution as continuation of the prompt, whatever the model itself would have said.
  float gold_loglik = std::numeric_limits<float>::quiet_NaN();
  uint8_t repeats = kNotEvaluated;  ///< whether the response ends in a loop: see ends_in_loop()

  /// Same bits in every column; unlike a float, a NaN equals itself.
  bool operator==(const Record& other) const;
};

/// Where a column's value lives in a Record; the alternative is also its type.
using RecordMember = std::variant<
    std::vector<float> Record::*,  // float32 [choices], missing = NaN
    uint8_t Record::*,             // missing = 255
    int32_t Record::*,             // missing = -1
    float Record::*,               // missing = NaN
    std::string Record::*>;        // UTF-8, missing = empty

struct Column {
  std::string_view name;  ///< the data set's name in the archive
  std::string_view unit;  ///< "1" for a number without one
  std::string_view description;
  std::string_view labels;  ///< `0=eos 1=until`, for an enumeration; else empty
  RecordMember member;
};

/// The columns of a kind of benchmark, in the order they are written. Append, never reorder:
/// records of earlier versions hold the first ones.
std::span<const Column> columns(BenchmarkKind kind);

/// The column that says whether the headline score counts the question as right.
uint8_t headline_correct(BenchmarkKind kind, const Record& record);

/// The choice that counts as picked: the first of the largest, and the first NaN before all others,
/// as numpy.argmax has it. Precondition: not empty.
size_t likeliest(std::span<const float> loglik);

void put_record(ByteWriter& writer, BenchmarkKind kind, const Record& record);
/// Columns that the record was written without are missing in it. Throws Error (kInternal) for
/// bytes that end early and for more columns than there are.
Record get_record(ByteReader& reader, BenchmarkKind kind);

/// Same bits in every column of the kind; unlike ==, a NaN equals itself.
bool same_bytes(BenchmarkKind kind, const Record& a, const Record& b);

}  // namespace prune_sweep
