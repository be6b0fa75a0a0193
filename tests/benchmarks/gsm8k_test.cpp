#include "benchmarks/gsm8k.hpp"

#include "benchmarks/prompt_vectors.hpp"
#include "catch.hpp"
#include "prune_sweep/core/check.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace {

BenchmarkRequest request_in(const TempDir& dir, int32_t shots, Exemplars exemplars) {
  BenchmarkRequest request = request_for("gsm8k");
  request.dir = dir.path();
  request.shots = shots;
  request.exemplars = exemplars;
  return request;
}

std::string row(const std::string& question, const std::string& answer) {
  return nlohmann::json{{"question", question}, {"answer", answer}}.dump() + "\n";
}

}  // namespace

TEST_CASE("the prompts of GSM8K are lm-evaluation-harness's, token by token") {
  const Tokenizer tokenizer = Tokenizer::read(kDataDir + "/qwen3-0.6b");
  BenchmarkRequest request = request_for("gsm8k");
  request.selection.limit.value = 0.1;
  const auto gsm8k = read_benchmark(request);
  const auto vectors = prompt_vectors("gsm8k");
  REQUIRE(vectors.size() == 132);
  REQUIRE(gsm8k->questions().size() == vectors.size());
  const auto train = read_json_lines(kDataDir + "/gsm8k/train.jsonl");
  for (size_t i = 0; i < vectors.size(); ++i) {
    const Question& question = gsm8k->questions()[i];
    check_prompt(tokenizer, question, vectors[i]);
    CHECK(question.gold == vectors[i]["target"].get<std::string>());
    // The exemplars are the train rows that CPython's random.sample gives.
    size_t at = 0;
    for (const auto& fewshot : vectors[i]["fewshot"]) {
      const auto& exemplar = train.at(fewshot.get<size_t>()).object;
      at = question.prompt.find(exemplar["question"].get<std::string>(), at);
      REQUIRE(at != std::string::npos);
    }
  }
}

TEST_CASE("a question's exemplars do not depend on how many questions are asked") {
  BenchmarkRequest request = request_for("gsm8k");
  const auto all = read_benchmark(request);
  REQUIRE(all->questions().size() == 1319);
  request.selection.limit.value = 7;
  const auto some = read_benchmark(request);
  REQUIRE(some->questions().size() == 7);
  for (size_t i = 0; i < 7; ++i) CHECK(some->questions()[i].prompt == all->questions()[i].prompt);
}

TEST_CASE("a gold solution that is skipped is still what answers are compared with") {
  BenchmarkRequest request = request_for("gsm8k");
  request.selection.limit.value = 3;
  const auto scored = read_benchmark(request);
  request.gold = GoldSolutions::kSkipped;
  const auto skipped = read_benchmark(request);
  for (size_t i = 0; i < 3; ++i) {
    CHECK_FALSE(scored->questions()[i].solution.empty());
    CHECK(skipped->questions()[i].solution.empty());
    CHECK(skipped->questions()[i].target == scored->questions()[i].target);
    CHECK(skipped->questions()[i].gold == scored->questions()[i].gold);
    CHECK(skipped->questions()[i].prompt == scored->questions()[i].prompt);
  }
}

TEST_CASE("fixed exemplars are the first train rows, for every question") {
  const TempDir dir;
  dir.write(
      "train.jsonl", row("1+1?", "two\n#### 2") + row("2+2?", "four\n#### 4") + row("x", "#### 0"));
  dir.write("test.jsonl", row(" 3+3? ", "six\n#### 6") + row("4+4?", "eight\n#### 8"));
  const auto gsm8k = read_gsm8k(request_in(dir, 2, Exemplars::kFixed), {});
  const std::string exemplars =
      "Question: 1+1?\nAnswer: two\n#### 2\n\nQuestion: 2+2?\nAnswer: four\n#### 4\n\n";
  REQUIRE(gsm8k->questions().size() == 2);
  CHECK(gsm8k->questions()[0].prompt == exemplars + "Question:  3+3? \nAnswer:");
  CHECK(gsm8k->questions()[1].prompt == exemplars + "Question: 4+4?\nAnswer:");
  CHECK(gsm8k->questions()[1].doc_json == R"({"question":"4+4?","answer":"eight\n#### 8"})");
  CHECK(gsm8k->questions()[1].target == "eight\n#### 8");
  CHECK(gsm8k->questions()[1].gold == "8");
  CHECK(gsm8k->stop_strings() == std::vector<std::string>{"Question:", "</s>", "<|im_end|>"});
}

TEST_CASE("without shots GSM8K needs no train file") {
  const TempDir dir;
  dir.write("test.jsonl", row("1+1?", "#### 2"));
  CHECK(
      read_gsm8k(request_in(dir, 0, Exemplars::kSampled), {})->questions()[0].prompt ==
      "Question: 1+1?\nAnswer:");
  CHECK_THROWS_WITH(
      read_gsm8k(request_in(dir, 1, Exemplars::kSampled), {}),
      ContainsSubstring("train.jsonl (no such file)"));
}

TEST_CASE("GSM8K files that cannot be used are refused by name and line") {
  struct Case {
    std::string test;
    std::string train;
    std::string message;
  };
  const std::string good = row("1+1?", "#### 2");
  const std::vector<Case> cases{
      {"", good, "test.jsonl (holds no rows)"},
      {good, "", "train.jsonl (holds no rows)"},
      {good, good, "train.jsonl: 1 rows (gsm8k-shots=2 needs more)"},
      {good + "{\"question\": \"x\"}\n", good, "test.jsonl:2: answer (a text is expected)"},
      {good + "{\"question\": 1, \"answer\": \"x\"}\n",
       good,
       "test.jsonl:2: question (a text is expected)"},
      {good + row("x", "no mark"), good + good, "test.jsonl:2: answer (has no `#### `)"},
      {good, good + "[]\n", "train.jsonl:2: not a JSON object"},
      {good, good + "{\"question\":\n", "train.jsonl:2: not JSON"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.test, c.train);
    const TempDir dir;
    dir.write("test.jsonl", c.test);
    dir.write("train.jsonl", c.train);
    CHECK_THROWS_WITH(
        read_gsm8k(request_in(dir, 2, Exemplars::kSampled), {}), ContainsSubstring(c.message));
  }
}

TEST_CASE("answers are extracted and compared as lm-evaluation-harness does") {
  const auto gsm8k = read_benchmark(request_for("gsm8k"));
  const auto cases = read_json_lines(kDataDir + "/vectors/gsm8k-scoring.jsonl");
  REQUIRE(cases.size() == 43);
  for (const JsonLine& line : cases) {
    const auto& c = line.object;
    CAPTURE(c["case"], c["note"], c["response"]);
    Record record;
    record.response = c["response"].get<std::string>();
    const Question& question = gsm8k->questions()[c["doc_id"].get<size_t>()];
    gsm8k->score(question, record);
    CHECK(record.strict_answer == c["strict_match"].get<std::string>());
    CHECK(record.flexible_answer == c["flexible_extract"].get<std::string>());
    CHECK(normalized_answer(question.target) == c["gold_normalised"].get<std::string>());
    CHECK(normalized_answer(record.strict_answer) == c["strict_normalised"].get<std::string>());
    CHECK(normalized_answer(record.flexible_answer) == c["flexible_normalised"].get<std::string>());
    CHECK(record.strict_correct == c["exact_match_strict"].get<int>());
    CHECK(record.flexible_correct == c["exact_match_flexible"].get<int>());
  }
}

TEST_CASE("every gold answer is right under both filters") {
  const auto gsm8k = read_benchmark(request_for("gsm8k"));
  for (const Question& question : gsm8k->questions()) {
    CAPTURE(question.doc_id);
    Record record;
    record.response = " " + question.target;
    gsm8k->score(question, record);
    CHECK(record.strict_correct == 1);
    CHECK(record.flexible_correct == 1);
    CHECK(question.gold.find_first_not_of("-0123456789") == std::string::npos);
  }
}

TEST_CASE("extraction follows the regular expressions at their edges") {
  const auto rows = reference("extracted.jsonl");
  REQUIRE(rows.size() == 3024);
  for (const Json& extracted : rows) {
    const std::string text = extracted[0].get<std::string>();
    CAPTURE(text);
    CHECK(strict_match(text) == extracted[1].get<std::string>());
    CHECK(flexible_extract(text) == extracted[2].get<std::string>());
    CHECK(normalized_answer(text) == extracted[3].get<std::string>());
  }
}

TEST_CASE("a long hostile response is searched in linear time and little stack") {
  const size_t size = 1 << 24;
  CHECK(strict_match(std::string(size, '#')) == "[invalid]");
  CHECK(flexible_extract(std::string(size, '-')) == "[invalid]");
  CHECK(flexible_extract(std::string(size, '9')).size() == size);
  std::string marks;
  while (marks.size() < size) marks += "#### -";
  CHECK(strict_match(marks) == "[invalid]");
}
