/// \file
/// Compares a written file with the records that it was written from.
#pragma once

#include <bit>
#include <cmath>
#include <string>

#include "archive/hdf5_reading.hpp"
#include "archive/sample.hpp"
#include "catch.hpp"

namespace sample {

/// Text (v, q) of a text column.
inline std::string text_at(
    const hdf5_reading::File& file, const std::string& group, size_t variant, size_t question) {
  const auto shape = hdf5_reading::dims(file, group + "/offsets");
  const auto offsets = hdf5_reading::numbers<uint64_t>(file, group + "/offsets");
  const std::string bytes = hdf5_reading::bytes(file, group + "/bytes");
  const size_t at = variant * shape.at(1) + question;
  return bytes.substr(offsets.at(at), offsets.at(at + 1) - offsets.at(at));
}

inline bool same_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

/// What a written file has where the table has a record, or none.
inline void check_records(
    const hdf5_reading::File& file, const Plan& plan, const RecordTable& records) {
  const auto loglik = hdf5_reading::numbers<float>(file, "/benchmarks/mmlu/loglik");
  const auto correct = hdf5_reading::numbers<uint8_t>(file, "/benchmarks/mmlu/correct");
  const auto greedy = hdf5_reading::numbers<uint8_t>(file, "/benchmarks/mmlu/greedy");
  const auto strict = hdf5_reading::numbers<uint8_t>(file, "/benchmarks/gsm8k/strict_correct");
  const auto flexible = hdf5_reading::numbers<uint8_t>(file, "/benchmarks/gsm8k/flexible_correct");
  const auto tokens = hdf5_reading::numbers<int32_t>(file, "/benchmarks/gsm8k/generated_tokens");
  const auto stop = hdf5_reading::numbers<uint8_t>(file, "/benchmarks/gsm8k/stop");
  for (const RecordIndex at : places(plan)) {
    CAPTURE(at.benchmark, at.variant, at.question);
    const Record* found = records.find(at);
    const Record record = found != nullptr ? *found : Record{};
    const auto v = static_cast<size_t>(at.variant);
    const auto q = static_cast<size_t>(at.question);
    if (at.benchmark == kMmlu) {
      const size_t place = v * 12 + q;
      for (size_t c = 0; c < 4; ++c) {
        if (found == nullptr)
          CHECK(std::isnan(loglik.at(place * 4 + c)));
        else
          CHECK(same_bits(loglik.at(place * 4 + c), record.loglik.at(c)));
      }
      CHECK(correct.at(place) == record.correct);
      CHECK(greedy.at(place) == record.greedy);
    } else {
      const size_t place = v * 10 + q;
      CHECK(strict.at(place) == record.strict_correct);
      CHECK(flexible.at(place) == record.flexible_correct);
      CHECK(tokens.at(place) == record.generated_tokens);
      CHECK(stop.at(place) == record.stop);
      CHECK(text_at(file, "/benchmarks/gsm8k/response", v, q) == record.response);
      CHECK(text_at(file, "/benchmarks/gsm8k/strict_answer", v, q) == record.strict_answer);
      CHECK(text_at(file, "/benchmarks/gsm8k/flexible_answer", v, q) == record.flexible_answer);
    }
  }
}

}  // namespace sample
