#include "prune_sweep/core/record.hpp"

#include <cstring>
#include <limits>
#include <set>

#include "core/message_of.hpp"

using namespace prune_sweep;

namespace {

constexpr auto kKinds = {BenchmarkKind::kMultipleChoice, BenchmarkKind::kGeneration};

/// A record with a value of its own in every member, so that a swapped or forgotten column shows.
Record filled() {
  Record record;
  record.loglik = {-1.5f, -0.0f, -std::numeric_limits<float>::infinity(), 3e-39f};
  record.correct = 1;
  record.greedy = 5;
  record.strict_correct = 0;
  record.flexible_correct = 1;
  record.generated_tokens = 77;
  record.stop = 2;
  record.response = std::string("caf\xc3\xa9\0#### 18", 13);
  record.strict_answer = "18";
  record.flexible_answer = "[invalid]";
  record.gold_probability = 0.25f;
  record.gold_loglik = -71.5f;
  record.repeats = 1;
  return record;
}

std::string bytes_of(BenchmarkKind kind, const Record& record) {
  ByteWriter writer;
  put_record(writer, kind, record);
  return writer.take();
}

}  // namespace

TEST_CASE("a record comes back with every column of its kind") {
  const Record record = filled();
  std::string bytes = bytes_of(BenchmarkKind::kMultipleChoice, record);
  ByteReader choice_reader(bytes);
  const Record choice = get_record(choice_reader, BenchmarkKind::kMultipleChoice);
  CHECK(choice_reader.at_end());
  REQUIRE(choice.loglik.size() == 4);
  CHECK(std::memcmp(choice.loglik.data(), record.loglik.data(), 4 * sizeof(float)) == 0);
  CHECK(choice.correct == 1);
  CHECK(choice.greedy == 5);
  CHECK(choice.gold_probability == 0.25f);
  CHECK(choice.response.empty());

  bytes = bytes_of(BenchmarkKind::kGeneration, record);
  ByteReader generation_reader(bytes);
  const Record generation = get_record(generation_reader, BenchmarkKind::kGeneration);
  CHECK(generation_reader.at_end());
  CHECK(generation.strict_correct == 0);
  CHECK(generation.flexible_correct == 1);
  CHECK(generation.generated_tokens == 77);
  CHECK(generation.stop == 2);
  CHECK(generation.response == record.response);
  CHECK(generation.strict_answer == "18");
  CHECK(generation.flexible_answer == "[invalid]");
  CHECK(generation.gold_loglik == -71.5f);
  CHECK(generation.repeats == 1);
  CHECK(generation.loglik.empty());
}

TEST_CASE("a record of an earlier version has its columns and lacks the later ones") {
  for (const BenchmarkKind kind : kKinds) {
    ByteWriter writer;
    writer.put(uint8_t{1});
    const Column& first = columns(kind).front();
    std::visit([&](auto member) { writer.put(filled().*member); }, first.member);
    const std::string bytes = writer.take();
    ByteReader reader(bytes);
    Record expected;
    std::visit([&](auto member) { expected.*member = filled().*member; }, first.member);
    CHECK(get_record(reader, kind) == expected);
    CHECK(reader.at_end());
  }
}

TEST_CASE("a record of a later version is refused") {
  for (const BenchmarkKind kind : kKinds) {
    std::string bytes = bytes_of(kind, filled());
    ++bytes[0];
    bytes += std::string(100, '\0');
    ByteReader reader(bytes);
    CHECK_THROWS_AS(get_record(reader, kind), Error);
  }
}

TEST_CASE("a NaN comes back with its bits") {
  Record record;
  float nan = 0;
  const uint32_t bits = 0x7fc12345;
  std::memcpy(&nan, &bits, sizeof nan);
  record.loglik = {nan, 1};
  const std::string bytes = bytes_of(BenchmarkKind::kMultipleChoice, record);
  ByteReader reader(bytes);
  const Record back = get_record(reader, BenchmarkKind::kMultipleChoice);
  REQUIRE(back.loglik.size() == 2);
  CHECK(std::memcmp(back.loglik.data(), &bits, sizeof bits) == 0);
}

TEST_CASE("an empty record says that nothing was evaluated") {
  for (const BenchmarkKind kind : kKinds) {
    const std::string bytes = bytes_of(kind, Record{});
    ByteReader reader(bytes);
    CHECK(get_record(reader, kind) == Record{});
    CHECK(headline_correct(kind, Record{}) == kNotEvaluated);
  }
}

TEST_CASE("a record cut short is refused") {
  for (const BenchmarkKind kind : kKinds) {
    const std::string bytes = bytes_of(kind, filled());
    for (size_t size = 0; size < bytes.size(); ++size) {
      CAPTURE(size);
      const std::string_view cut = std::string_view(bytes).substr(0, size);
      CHECK_THROWS_AS(
          [&] {
            ByteReader reader(cut);
            get_record(reader, kind);
          }(),
          Error);
    }
  }
}

TEST_CASE("the columns of both kinds cover every member once") {
  std::set<std::string_view> names;
  std::set<const void*> members;
  const Record record;
  for (const BenchmarkKind kind : kKinds) {
    for (const Column& column : columns(kind)) {
      CAPTURE(column.name);
      CHECK(names.insert(column.name).second);
      CHECK_FALSE(column.unit.empty());
      CHECK_FALSE(column.description.empty());
      std::visit(
          [&](auto member) { CHECK(members.insert(&(record.*member)).second); }, column.member);
    }
  }
  // Every member of Record, by name: a new one must be added to a table.
  for (const void* member :
       {static_cast<const void*>(&record.loglik),
        static_cast<const void*>(&record.correct),
        static_cast<const void*>(&record.greedy),
        static_cast<const void*>(&record.strict_correct),
        static_cast<const void*>(&record.flexible_correct),
        static_cast<const void*>(&record.generated_tokens),
        static_cast<const void*>(&record.stop),
        static_cast<const void*>(&record.response),
        static_cast<const void*>(&record.strict_answer),
        static_cast<const void*>(&record.flexible_answer),
        static_cast<const void*>(&record.gold_probability),
        static_cast<const void*>(&record.gold_loglik),
        static_cast<const void*>(&record.repeats)}) {
    CHECK(members.erase(member) == 1);
  }
  CHECK(members.empty());
}

TEST_CASE("the headline is accuracy for choices and the strict match for generated answers") {
  const Record record = filled();
  CHECK(headline_correct(BenchmarkKind::kMultipleChoice, record) == 1);
  CHECK(headline_correct(BenchmarkKind::kGeneration, record) == 0);
}
