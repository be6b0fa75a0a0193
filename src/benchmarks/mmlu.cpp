#include "benchmarks/mmlu.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "benchmarks/harness_samples.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/text/reader.hpp"
#include "prune_sweep/text/utf8.hpp"

namespace prune_sweep {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kNumChoices = 4;
constexpr size_t kNumColumns = kNumChoices + 2;
constexpr std::string_view kLetters = "ABCD";
constexpr std::string_view kTestEnding = "_test.csv";

struct Row {
  std::string question;
  std::vector<std::string> choices;  // [kNumChoices]
  size_t answer = 0;
};

// One of `digits` as its place among them.
size_t read_answer(const std::string& text, std::string_view digits, const std::string& where) {
  const size_t answer = text.size() == 1 ? digits.find(text[0]) : std::string_view::npos;
  if (answer == std::string_view::npos) {
    bad_input(
        where + ": answer=" + printable(text),
        digits == kLetters ? "A, B, C or D is expected in a file without column names"
                           : "0, 1, 2 or 3 is expected in a file with column names");
  }
  return answer;
}

std::vector<Row> read_rows(const fs::path& path) {
  static const std::vector<std::string> column_names{
      "question", "choice0", "choice1", "choice2", "choice3", "answer"};
  std::vector<CsvRow> lines = read_csv(path, kNumColumns);
  const bool has_names = !lines.empty() && lines.front().fields == column_names;
  if (has_names) lines.erase(lines.begin());
  std::vector<Row> rows;
  for (CsvRow& line : lines) {
    const std::string where = at_line(path.string(), line.line);
    auto& fields = line.fields;
    const size_t answer = read_answer(fields.back(), has_names ? "0123" : kLetters, where);
    rows.push_back({std::move(fields.front()), {fields.begin() + 1, fields.end() - 1}, answer});
  }
  return rows;
}

std::vector<std::string> list_subjects(const fs::path& test_dir) {
  std::error_code error;
  std::vector<std::string> subjects;
  for (fs::directory_iterator entry(test_dir, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.ends_with(kTestEnding)) continue;
    require(find_invalid_utf8(name) == name.npos, entry->path().string(), "its name is not UTF-8");
    subjects.push_back(name.substr(0, name.size() - kTestEnding.size()));
  }
  if (error)
    bad_input(test_dir.string(), error.message(), "mmlu needs a folder with test/ and dev/");
  if (subjects.empty()) bad_input(test_dir.string(), "holds no *_test.csv");
  std::sort(subjects.begin(), subjects.end());
  return subjects;
}

std::string block(const Row& row) {
  std::string text(strip(row.question));
  for (size_t i = 0; i < kNumChoices; ++i) {
    text.append("\n").append(1, kLetters[i]).append(". ").append(row.choices[i]);
  }
  return text + "\nAnswer:";
}

// The description and the exemplars: what all prompts of a subject begin with.
std::string subject_prefix(const std::string& subject, const fs::path& dev_file, size_t shots) {
  std::string spaced = subject;
  std::replace(spaced.begin(), spaced.end(), '_', ' ');
  std::string text =
      "The following are multiple choice questions (with answers) about " + spaced + ".\n\n";
  if (shots == 0) return text;
  const std::vector<Row> rows = read_rows(dev_file);
  if (rows.size() < shots) {
    bad_input(
        dev_file.string() + ": " + std::to_string(rows.size()) + " rows",
        "mmlu-shots=" + std::to_string(shots) + " needs more");
  }
  for (size_t i = 0; i < shots; ++i) {
    text += block(rows[i]) + " " + kLetters[rows[i].answer] + "\n\n";
  }
  return text;
}

Question make_question(
    const std::string& subject, size_t doc_id, const std::string& prefix, const Row& row) {
  Question question;
  question.subject = subject;
  question.doc_id = static_cast<int32_t>(doc_id);
  question.prompt = prefix + block(row);
  for (const char letter : kLetters) question.choices.push_back(std::string(" ") + letter);
  question.gold_choice = static_cast<int32_t>(row.answer);
  question.target = std::to_string(row.answer);
  question.gold = question.target;
  question.doc_json = Json{
      {"question", row.question},
      {"subject", subject},
      {"choices", row.choices},
      {"answer",
       row.answer}}.dump();
  return question;
}

// numpy.argmax: the first of the largest, and the first NaN before all others.
size_t argmax(const std::vector<float>& values) {
  size_t best = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) return i;
    if (values[i] > values[best]) best = i;
  }
  return best;
}

class Mmlu final : public Benchmark {
 public:
  explicit Mmlu(const BenchmarkRequest& request) {
    const auto shots = static_cast<size_t>(std::max(request.shots, 0));
    for (const std::string& subject : list_subjects(request.dir / "test")) {
      const fs::path test_file = request.dir / "test" / (subject + std::string(kTestEnding));
      const std::vector<Row> rows = read_rows(test_file);
      if (rows.empty()) bad_input(test_file.string(), "holds no rows");
      const std::string prefix =
          subject_prefix(subject, request.dir / "dev" / (subject + "_dev.csv"), shots);
      const size_t count = std::min(request.limit.of(rows.size()), rows.size());
      for (size_t doc_id = 0; doc_id < count; ++doc_id) {
        questions_.push_back(make_question(subject, doc_id, prefix, rows[doc_id]));
      }
    }
  }

  std::string_view name() const override { return "mmlu"; }
  BenchmarkKind kind() const override { return BenchmarkKind::kMultipleChoice; }
  std::span<const Question> questions() const override { return questions_; }
  std::vector<std::string> stop_strings() const override { return {}; }

  void score(const Question& question, Record& record) const override {
    score_mmlu(std::to_string(question.gold_choice), record);
  }

  std::vector<std::string> samples(const Question& question, const Record& record) const override {
    if (record.correct == kNotEvaluated) return {};
    if (record.greedy == kNotEvaluated) {
      throw Error(ExitStatus::kInternal, "mmlu: a record without its greedy column");
    }
    HarnessSample sample;
    for (size_t i = 0; i < kNumChoices; ++i) {
      const bool is_greedy = (record.greedy >> i & 1) != 0;
      const Json response{python_float(record.loglik[i]), is_greedy ? "True" : "False"};
      sample.requests.emplace_back(question.choices[i]);
      sample.responses.push_back(Json::array({response}));
      sample.filtered_responses.push_back(response);
    }
    sample.filter = "none";
    sample.metric = "acc";
    sample.value = record.correct;
    return {harness_sample_line(question, sample)};
  }

 private:
  std::vector<Question> questions_;
};

}  // namespace

std::unique_ptr<Benchmark> read_mmlu(const BenchmarkRequest& request) {
  return std::make_unique<Mmlu>(request);
}

void score_mmlu(std::string_view gold, Record& record) {
  if (record.loglik.size() != kNumChoices) {
    throw Error(ExitStatus::kInternal, "mmlu: a record without four log-likelihoods");
  }
  record.correct = std::to_string(argmax(record.loglik)) == gold ? 1 : 0;
}

}  // namespace prune_sweep
