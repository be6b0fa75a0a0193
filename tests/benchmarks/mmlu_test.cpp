#include "benchmarks/mmlu.hpp"

#include <cmath>
#include <set>

#include "benchmarks/prompt_vectors.hpp"
#include "catch.hpp"
#include "prune_sweep/core/check.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace {

const char* const kHeader = "question,choice0,choice1,choice2,choice3,answer\n";

BenchmarkRequest request_in(const TempDir& dir, int32_t shots) {
  BenchmarkRequest request = request_for("mmlu");
  request.dir = dir.path();
  request.shots = shots;
  return request;
}

std::string quoted(const std::string& field) {
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + "\"";
}

// The file in the other published form: no column names, letters for answers.
std::string without_names(const std::filesystem::path& file) {
  std::string text;
  bool is_first = true;
  for (const CsvRow& row : read_csv(file, 6)) {
    if (!std::exchange(is_first, false)) {
      for (size_t i = 0; i < 5; ++i) text += quoted(row.fields[i]) + ",";
      text += std::string(1, "ABCD"[std::stoi(row.fields[5])]) + "\r\n";
    }
  }
  return text;
}

}  // namespace

TEST_CASE("the prompts of MMLU are lm-evaluation-harness's, token by token") {
  const Tokenizer tokenizer = Tokenizer::read(kDataDir + "/qwen3-0.6b");
  BenchmarkRequest request = request_for("mmlu");
  request.selection.limit.value = 0.1;
  const auto mmlu = read_benchmark(request);
  const auto vectors = prompt_vectors("mmlu_");
  REQUIRE(vectors.size() == 1430);
  REQUIRE(mmlu->questions().size() == vectors.size());
  for (size_t i = 0; i < vectors.size(); ++i) {
    const Question& question = mmlu->questions()[i];
    check_prompt(tokenizer, question, vectors[i]);
    CHECK("mmlu_" + question.subject == vectors[i]["task"].get<std::string>());
    CHECK(question.gold_choice == vectors[i]["target"].get<int32_t>());
    CHECK(question.target == std::to_string(question.gold_choice));
    CHECK(question.gold == question.target);
    REQUIRE(question.choices == std::vector<std::string>{" A", " B", " C", " D"});
    // Each choice is one token after the prompt.
    CHECK(
        tokenizer.encode(question.prompt + " D").size() ==
        vectors[i]["n_tokens"].get<size_t>() + 1);
  }
}

TEST_CASE("all of MMLU is 57 subjects in alphabetical order and 14,042 questions") {
  const auto mmlu = read_benchmark(request_for("mmlu"));
  CHECK(mmlu->questions().size() == 14042);
  std::vector<std::string> subjects;
  std::array<size_t, 4> gold{};
  for (const Question& question : mmlu->questions()) {
    if (subjects.empty() || subjects.back() != question.subject) {
      subjects.push_back(question.subject);
      CHECK(question.doc_id == 0);
    }
    ++gold.at(static_cast<size_t>(question.gold_choice));
  }
  CHECK(subjects.size() == 57);
  CHECK(std::is_sorted(subjects.begin(), subjects.end()));
  CHECK(gold == std::array<size_t, 4>{3222, 3462, 3582, 3776});
}

TEST_CASE("both published forms of MMLU's files give the same questions") {
  const TempDir dir;
  for (const char* split : {"test", "dev"}) {
    for (const auto& entry : std::filesystem::directory_iterator(kDataDir + "/mmlu/" + split)) {
      dir.write(split / entry.path().filename(), without_names(entry.path()));
    }
  }
  BenchmarkRequest request = request_for("mmlu");
  const auto named = read_benchmark(request);
  request.dir = dir.path();
  const auto unnamed = read_benchmark(request);
  REQUIRE(unnamed->questions().size() == named->questions().size());
  for (size_t i = 0; i < named->questions().size(); ++i) {
    const Question& a = named->questions()[i];
    const Question& b = unnamed->questions()[i];
    CAPTURE(a.subject, a.doc_id);
    CHECK(a.prompt == b.prompt);
    CHECK(a.doc_json == b.doc_json);
    CHECK(a.gold_choice == b.gold_choice);
  }
}

TEST_CASE("the first rows of dev stand before the question, as many as there are shots") {
  const TempDir dir;
  dir.write("test/us_law_test.csv", std::string(kHeader) + "\"\xc2\xa0 Why?\n\",\" a\",b ,c,d,2\n");
  dir.write("dev/us_law_dev.csv", "One?,1,2,3,4,A\nTwo?,5,6,7,8,D\nThree?,5,6,7,8,D\n");
  const std::string description =
      "The following are multiple choice questions (with answers) about us law.\n\n";
  const std::string one = "One?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: A\n\n";
  const std::string two = "Two?\nA. 5\nB. 6\nC. 7\nD. 8\nAnswer: D\n\n";
  const std::string block = "Why?\nA.  a\nB. b \nC. c\nD. d\nAnswer:";
  CHECK(read_mmlu(request_in(dir, 0), {})->questions()[0].prompt == description + block);
  CHECK(
      read_mmlu(request_in(dir, 2), {})->questions()[0].prompt == description + one + two + block);
  CHECK(
      read_mmlu(request_in(dir, 0), {})->questions()[0].doc_json ==
      "{\"question\":\"\xc2\xa0 Why?\\n\",\"subject\":\"us_law\",\"choices\":[\" a\",\"b "
      "\",\"c\",\"d\"],\"answer\":2}");
}

TEST_CASE("without shots MMLU needs no dev files") {
  const TempDir dir;
  dir.write("test/a_test.csv", "Why?,a,b,c,d,C\n");
  CHECK(read_mmlu(request_in(dir, 0), {})->questions().size() == 1);
  CHECK_THROWS_WITH(
      read_mmlu(request_in(dir, 1), {}), ContainsSubstring("dev/a_dev.csv (no such file)"));
}

TEST_CASE("MMLU files that cannot be used are refused by name and line") {
  struct Case {
    std::string test;
    std::string dev;
    std::string message;
  };
  const std::string good = "Why?,a,b,c,d,C\n";
  const std::vector<Case> cases{
      {"", good, "test/x_test.csv (holds no rows)"},
      {kHeader, good, "test/x_test.csv (holds no rows)"},
      {good, kHeader, "dev/x_dev.csv: 0 rows (mmlu-shots=1 needs more)"},
      {good + "Why?,a,b,c,d,E\n", good, "test/x_test.csv:2: answer=E (A, B, C or D is expected"},
      {good + "Why?,a,b,c,d,1\n", good, "test/x_test.csv:2: answer=1 (A, B, C or D is expected"},
      {kHeader + good, good, "test/x_test.csv:2: answer=C (0, 1, 2 or 3 is expected"},
      {std::string(kHeader) + "Why?,a,b,c,d,4\n",
       good,
       "test/x_test.csv:2: answer=4 (0, 1, 2 or 3"},
      {std::string(kHeader) + "Why?,a,b,c,d,\n", good, "test/x_test.csv:2: answer= (0, 1, 2 or 3"},
      {"Question,A,B,C,D,Answer\n", good, "test/x_test.csv:1: answer=Answer (A, B, C or D"},
      {good + "Why?,a,b,c,d\n", good, "test/x_test.csv:2: the row has 5 columns (6 are expected)"},
      {good, "Why?,a,\"b,c,d,C\n", "dev/x_dev.csv:1: not CSV"},
      {good + "\xff,a,b,c,d,C\n", good, "test/x_test.csv:2: byte 15 of the file is not UTF-8"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.test, c.dev);
    const TempDir dir;
    dir.write("test/x_test.csv", c.test);
    dir.write("dev/x_dev.csv", c.dev);
    CHECK_THROWS_WITH(read_mmlu(request_in(dir, 1), {}), ContainsSubstring(c.message));
  }
}

TEST_CASE("a folder that is not MMLU's is refused") {
  const TempDir dir;
  CHECK_THROWS_WITH(
      read_mmlu(request_in(dir, 5), {}),
      ContainsSubstring("mmlu needs a folder with test/ and dev/"));
  dir.write("test/notes.txt", "");
  CHECK_THROWS_WITH(
      read_mmlu(request_in(dir, 5), {}), ContainsSubstring("test (holds no *_test.csv)"));
}

TEST_CASE("the likeliest choice is compared with the gold one as numpy.argmax finds it") {
  const TempDir dir;
  dir.write("test/a_test.csv", "Why?,a,b,c,d,C\n");
  const auto mmlu = read_mmlu(request_in(dir, 0), {});
  const Question& question = mmlu->questions()[0];
  struct Case {
    std::vector<float> loglik;
    uint8_t correct;
  };
  const std::vector<Case> cases{
      {{-4, -3, -1, -2}, 1},
      {{-1, -3, -2, -2}, 0},
      {{-4, -1, -1, -2}, 0},  // the first of two equal ones
      {{-4, -3, -1, -1}, 1},
      {{NAN, NAN, NAN, NAN}, 0},
      {{-4, -3, NAN, 0}, 1},  // NaN wins
      {{-4, NAN, NAN, 0}, 0},
      {{-INFINITY, -INFINITY, -9, -INFINITY}, 1},
      {{-INFINITY, -INFINITY, -INFINITY, -INFINITY}, 0},
  };
  for (const Case& c : cases) {
    CAPTURE(c.loglik);
    Record record;
    record.loglik = c.loglik;
    mmlu->score(question, record);
    CHECK(record.correct == c.correct);
  }
  Record incomplete;
  incomplete.loglik = {-1, -2};
  CHECK_THROWS_AS(mmlu->score(question, incomplete), Error);
}
