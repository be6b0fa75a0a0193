#include <cmath>

#include "benchmarks/harness_samples.hpp"
#include "benchmarks/prompt_vectors.hpp"
#include "catch.hpp"

using namespace prune_sweep;

namespace {

const Question& question_of(
    const Benchmark& benchmark, const std::string& subject, int32_t doc_id) {
  for (const Question& question : benchmark.questions()) {
    if (question.subject == subject && question.doc_id == doc_id) return question;
  }
  FAIL("no question " << subject << " " << doc_id);
  throw;
}

std::vector<std::string> lines_of(const std::string& name) {
  const std::string text = read_file(kDataDir + "/reference/" + name);
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

TEST_CASE("floating-point numbers are printed as Python's str prints them") {
  for (const Json& row : reference("floats.jsonl")) {
    const std::string hex = row[0].get<std::string>();
    CAPTURE(hex);
    CHECK(python_float(std::strtod(hex.c_str(), nullptr)) == row[1].get<std::string>());
  }
  CHECK(python_float(NAN) == "nan");
  CHECK(python_float(INFINITY) == "inf");
  CHECK(python_float(-INFINITY) == "-inf");
}

TEST_CASE("samples of MMLU are the lines that lm-evaluation-harness writes, byte for byte") {
  const auto mmlu = read_benchmark(request_for("mmlu"));
  for (const std::string subject :
       {"abstract_algebra", "astronomy", "nutrition", "moral_disputes"}) {
    const auto lines = lines_of("samples_mmlu_" + subject + ".jsonl");
    REQUIRE(lines.size() == 10);
    for (const std::string& line : lines) {
      const Json sample = Json::parse(line);
      Record record;
      record.greedy = 0;
      for (int i = 0; i < 4; ++i) {
        const Json& response = sample["filtered_resps"][i];
        record.loglik.push_back(std::strtof(response[0].get<std::string>().c_str(), nullptr));
        if (response[1] == "True") record.greedy |= static_cast<uint8_t>(1 << i);
      }
      const Question& question = question_of(*mmlu, subject, sample["doc_id"].get<int32_t>());
      mmlu->score(question, record);
      CHECK(mmlu->samples(question, record) == std::vector<std::string>{line});
    }
  }
}

TEST_CASE("samples of GSM8K are the lines that lm-evaluation-harness writes, byte for byte") {
  for (const int32_t max_new_tokens : {256, 48}) {
    BenchmarkRequest request = request_for("gsm8k");
    request.max_new_tokens = max_new_tokens;
    const auto gsm8k = read_benchmark(request);
    // The harness writes all questions for one filter, then all for the other.
    const auto lines =
        lines_of(max_new_tokens == 256 ? "samples_gsm8k.jsonl" : "samples_gsm8k_48_tokens.jsonl");
    REQUIRE(lines.size() == 20);
    for (size_t i = 0; i < 10; ++i) {
      const Json sample = Json::parse(lines[i]);
      const Question& question = question_of(*gsm8k, "", sample["doc_id"].get<int32_t>());
      Record record;
      record.response = sample["resps"][0][0].get<std::string>();
      gsm8k->score(question, record);
      CHECK(gsm8k->samples(question, record) == std::vector<std::string>{lines[i], lines[i + 10]});
    }
  }
}
