#include "prune_sweep/protocol/message.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "core/message_of.hpp"
#include "prune_sweep/core/digest.hpp"

using namespace prune_sweep;

namespace {

Record choice_record() {
  Record record;
  record.loglik = {-1.25f, std::numeric_limits<float>::quiet_NaN(), -0.0f, -1e30f};
  record.correct = 1;
  record.greedy = 4;
  return record;
}

Record answer_record() {
  Record record;
  record.strict_correct = 0;
  record.flexible_correct = 1;
  record.generated_tokens = 12;
  record.stop = 1;
  record.response = std::string("a\0b \xc3\xa9", 6);
  record.strict_answer = "[invalid]";
  record.flexible_answer = "18";
  return record;
}

/// One of every kind with all its fields filled, and one with all of them empty.
std::vector<Message> samples() {
  return {
      Setup{"[model]\npath = /m\n", "sha", "tok", "1, 2", "cpu", "mod", 3, {}},
      Setup{},
      Ready{"host", "cpu", "2.11.0", 1.5},
      Ready{},
      Lease{7, 2, "mmlu", {"baseline", "drop-03"}, {"", "3 drop"}, {0, 5, 2147483647}},
      Lease{},
      Progress{7, 2},
      Progress{},
      Result{7, 2, 0.25, BenchmarkKind::kMultipleChoice, {choice_record(), Record{}}},
      Result{7, 2, 0.25, BenchmarkKind::kGeneration, {answer_record(), Record{}}, {1, 2, 3, 4, 5}},
      Result{},
      Failure{-1, 1, FailureClass::kInput, "why\nnot"},
      Failure{},
      Committed{9},
      Committed{},
      Stop{},
      Stop{Leave::kAlone},
      Heartbeat{WorkerState::kAtWork},
      Heartbeat{},
      Revoke{7, 2, Finished::kKeep},
      Revoke{},
      Hello{"0.1.0 (abc)", "n1", 64, 8, int64_t{1} << 38, {"GPU-a", "GPU-b"}, {"A", "B"}, "GPU-b"},
      Hello{},
      Refuse{"it is of another build"},
      Refuse{},
  };
}

/// A message's bytes with a CRC that fits, whatever is in them.
std::string sealed(const std::string& body) { return body + ByteWriter().put(crc32c(body)).take(); }

template <typename M>
M round_trip(const M& message) {
  const Message back = decode(encode(message));
  REQUIRE(std::holds_alternative<M>(back));
  return std::get<M>(back);
}

}  // namespace

TEST_CASE("every message comes back with all its fields") {
  const auto setup = round_trip(
      Setup{"job\ntext", "digest", "tokenizer", "151645, 151643", "cuda", "model", 16, {2.5, 3.5}});
  CHECK(setup.job_text == "job\ntext");
  CHECK(setup.questions_sha256 == "digest");
  CHECK(setup.tokenizer_sha256 == "tokenizer");
  CHECK(setup.end_ids == "151645, 151643");
  CHECK(setup.device == "cuda");
  CHECK(setup.model_sha256 == "model");
  CHECK(setup.num_threads == 16);
  CHECK(setup.patience.evaluator_s == 2.5);
  CHECK(setup.patience.rank_s == 3.5);
  CHECK(round_trip(Stop{Leave::kAlone}).leave == Leave::kAlone);
  CHECK(round_trip(Heartbeat{WorkerState::kIdle}).state == WorkerState::kIdle);
  CHECK(round_trip(Revoke{7, 2}).unit == 7);
  CHECK(round_trip(Revoke{7, 2}).attempt == 2);
  CHECK(round_trip(Revoke{7, 2, Finished::kKeep}).finished == Finished::kKeep);

  const auto hello = round_trip(Hello{"0.1.0", "n1", 64, 8, 1 << 20, {"a", "b"}, {"A", ""}, "b"});
  CHECK(hello.program_version == "0.1.0");
  CHECK(hello.host == "n1");
  CHECK(hello.num_cores == 64);
  CHECK(hello.num_threads == 8);
  CHECK(hello.memory_bytes == 1 << 20);
  CHECK(hello.device_uuids == std::vector<std::string>{"a", "b"});
  CHECK(hello.device_names == std::vector<std::string>{"A", ""});
  CHECK(hello.device_uuid == "b");
  CHECK(round_trip(Refuse{"why"}).why == "why");

  const auto ready = round_trip(Ready{"host", "cuda", "2.11.0", 1.5});
  CHECK(ready.host == "host");
  CHECK(ready.device == "cuda");
  CHECK(ready.torch_version == "2.11.0");
  CHECK(ready.load_s == 1.5);

  const auto lease = round_trip(Lease{7, 2, "mmlu", {"a", "b"}, {"", "3 drop"}, {4, 0, -1}});
  CHECK(lease.unit == 7);
  CHECK(lease.attempt == 2);
  CHECK(lease.benchmark == "mmlu");
  CHECK(lease.variant_names == std::vector<std::string>{"a", "b"});
  CHECK(lease.variant_edits == std::vector<std::string>{"", "3 drop"});
  CHECK(lease.questions == std::vector<int32_t>{4, 0, -1});

  const auto progress = round_trip(Progress{3, 4});
  CHECK(progress.unit == 3);
  CHECK(progress.attempt == 4);

  const auto failure = round_trip(Failure{-1, 5, FailureClass::kTask, "out of memory"});
  CHECK(failure.unit == -1);
  CHECK(failure.attempt == 5);
  CHECK(failure.failure == FailureClass::kTask);
  CHECK(failure.text == "out of memory");

  CHECK(round_trip(Committed{11}).unit == 11);
  round_trip(Stop{});
}

TEST_CASE("a result comes back with its records, NaN and NUL bytes included") {
  const auto choices =
      round_trip(Result{1, 2, 3.5, BenchmarkKind::kMultipleChoice, {choice_record(), Record{}}});
  CHECK(choices.unit == 1);
  CHECK(choices.attempt == 2);
  CHECK(choices.elapsed_s == 3.5);
  CHECK(choices.kind == BenchmarkKind::kMultipleChoice);
  REQUIRE(choices.records.size() == 2);
  REQUIRE(choices.records[0].loglik.size() == 4);
  CHECK(choices.records[0].loglik[0] == -1.25f);
  CHECK(std::isnan(choices.records[0].loglik[1]));
  CHECK(std::signbit(choices.records[0].loglik[2]));
  CHECK(choices.records[0].correct == 1);
  CHECK(choices.records[0].greedy == 4);
  CHECK(choices.records[1] == Record{});
  CHECK(choices.phases_s == PhaseSeconds{});
  const PhaseSeconds phases_s{0.5, 1, 1.5, 2, 2.5};
  CHECK(
      round_trip(Result{1, 2, 3.5, BenchmarkKind::kGeneration, {Record{}}, phases_s}).phases_s ==
      phases_s);

  const auto answers = round_trip(Result{1, 2, 3.5, BenchmarkKind::kGeneration, {answer_record()}});
  REQUIRE(answers.records.size() == 1);
  CHECK(answers.records[0] == answer_record());
}

TEST_CASE("a setup says what the engine may save") {
  Setup setup;
  CHECK(round_trip(setup).savings == Savings{});
  for (const SavingOption& option : kSavingOptions) {
    setup.savings = {};
    setup.savings.*option.member = Use::kOff;
    setup.savings.row_block = 77;
    CHECK(round_trip(setup).savings == setup.savings);
  }
}

TEST_CASE("empty and large fields come back") {
  CHECK(round_trip(Setup{}).job_text.empty());
  CHECK(round_trip(Lease{}).questions.empty());
  CHECK(round_trip(Result{}).records.empty());
  CHECK(round_trip(Failure{}).unit == -1);

  const std::string large(20'000'000, '\xff');
  CHECK(round_trip(Setup{.job_text = large}).job_text == large);
  Lease lease;
  lease.variant_names.assign(10'000, "name");
  lease.questions.resize(1'000'000, 5);
  CHECK(round_trip(lease).variant_names == lease.variant_names);
  CHECK(round_trip(lease).questions == lease.questions);
  Result result;
  result.kind = BenchmarkKind::kGeneration;
  result.records.assign(20'000, answer_record());
  CHECK(round_trip(result).records == result.records);
}

TEST_CASE("every single flipped bit is refused") {
  for (const Message& message : samples()) {
    const std::string bytes = encode(message);
    CAPTURE(message_name(message));
    for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      std::string damaged = bytes;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      CAPTURE(bit);
      REQUIRE_THROWS_AS(decode(damaged), Error);
    }
  }
}

TEST_CASE("a message cut anywhere, or with bytes after it, is refused") {
  for (const Message& message : samples()) {
    const std::string bytes = encode(message);
    CAPTURE(message_name(message));
    for (size_t size = 0; size < bytes.size(); ++size) {
      CAPTURE(size);
      REQUIRE_THROWS_AS(decode(std::string_view(bytes).substr(0, size)), Error);
      // Cut before the CRC was made: the fields themselves end early.
      if (size + 4 < bytes.size()) REQUIRE_THROWS_AS(decode(sealed(bytes.substr(0, size))), Error);
    }
    REQUIRE_THROWS_AS(decode(bytes + '\0'), Error);
    REQUIRE_THROWS_AS(decode(sealed(bytes.substr(0, bytes.size() - 4) + '\0')), Error);
  }
}

TEST_CASE("a message of another version is refused with both versions") {
  const std::string body = ByteWriter().put(uint16_t{3}).put(uint16_t{6}).put(int32_t{9}).take();
  const Error error = error_of([&] { decode(sealed(body)); });
  CHECK(error.status() == ExitStatus::kInternal);
  const Message refused = decode_from_rank(sealed(body));
  REQUIRE(std::holds_alternative<Refuse>(refused));
  for (const std::string& text : {std::string(error.what()), std::get<Refuse>(refused).why}) {
    CHECK_THAT(
        text,
        ContainsSubstring("version 6") && ContainsSubstring("version 3") &&
            ContainsSubstring("same build"));
  }
}

TEST_CASE("a rank of another version can be told to stop, and says what is understood") {
  for (const uint16_t version :
       {uint16_t{3}, uint16_t{4}, uint16_t{5}, uint16_t{6}, uint16_t{900}}) {
    const std::string stop = ByteWriter().put(version).put(uint16_t{7}).put(uint8_t{1}).take();
    const Message message = decode_from_rank(sealed(stop));
    REQUIRE(std::holds_alternative<Stop>(message));
    CHECK(std::get<Stop>(message).leave == Leave::kAlone);
  }
  CHECK(std::get<Committed>(decode_from_rank(encode(Committed{9}))).unit == 9);
  REQUIRE_THROWS_AS(decode_from_rank(encode(Committed{9}) + "x"), Error);
}

TEST_CASE("the numbers on the wire are those of protocol version 6") {
  const std::string body = ByteWriter().put(uint16_t{6}).put(uint16_t{6}).put(int32_t{9}).take();
  const Message message = decode(sealed(body));
  REQUIRE(std::holds_alternative<Committed>(message));
  CHECK(std::get<Committed>(message).unit == 9);
  CHECK(encode(Committed{9}) == sealed(body));
  CHECK(
      encode(Stop{}) ==
      sealed(ByteWriter().put(uint16_t{6}).put(uint16_t{7}).put(uint8_t{0}).take()));
}

TEST_CASE("an unknown type is refused by its number") {
  const std::string body = ByteWriter().put(uint16_t{6}).put(uint16_t{12}).take();
  CHECK_THAT(message_of([&] { decode(sealed(body)); }), ContainsSubstring("unknown type 12"));
}

TEST_CASE("bytes with a right CRC and wrong content give an Error or a message, nothing else") {
  std::mt19937 random(3);
  size_t num_refused = 0;
  for (int trial = 0; trial < 20'000; ++trial) {
    const auto all = samples();
    std::string body = encode(all[random() % all.size()]);
    body.resize(body.size() - 4);
    if (body.size() == 4) continue;  // version and type alone
    for (size_t change = 0; change < 1 + random() % 4; ++change) {
      // Values that make counts huge, small or off by one.
      const char values[] = {'\xff', '\0', '\x01', '\x7f', static_cast<char>(random())};
      body[4 + random() % (body.size() - 4)] = values[random() % 5];
    }
    try {
      decode(sealed(body));
    } catch (const Error&) {
      ++num_refused;
    }
  }
  CHECK(num_refused > 1000);
}

TEST_CASE("messages have the names of their types") {
  CHECK(message_name(Setup{}) == "Setup");
  CHECK(message_name(Ready{}) == "Ready");
  CHECK(message_name(Lease{}) == "Lease");
  CHECK(message_name(Progress{}) == "Progress");
  CHECK(message_name(Result{}) == "Result");
  CHECK(message_name(Failure{}) == "Failure");
  CHECK(message_name(Committed{}) == "Committed");
  CHECK(message_name(Stop{}) == "Stop");
  CHECK(message_name(Hello{}) == "Hello");
  CHECK(message_name(Refuse{}) == "Refuse");
}
