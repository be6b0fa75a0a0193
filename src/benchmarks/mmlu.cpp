#include "benchmarks/mmlu.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "benchmarks/harness_samples.hpp"
#include "benchmarks/selection.hpp"
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

std::string description_of(std::string subject) {
  std::replace(subject.begin(), subject.end(), '_', ' ');
  return "The following are multiple choice questions (with answers) about " + subject + ".\n\n";
}

std::vector<Exemplar> read_exemplars(const fs::path& dev_file, size_t shots) {
  if (shots == 0) return {};
  const std::vector<Row> rows = read_rows(dev_file);
  if (rows.size() < shots) {
    bad_input(
        dev_file.string() + ": " + std::to_string(rows.size()) + " rows",
        "mmlu-shots=" + std::to_string(shots) + " needs more");
  }
  std::vector<Exemplar> exemplars;
  for (size_t i = 0; i < shots; ++i) {
    exemplars.push_back({block(rows[i]), std::string(1, kLetters[rows[i].answer])});
  }
  return exemplars;
}

// A subject's test file.
struct Subject {
  std::string name;
  std::vector<Row> rows;
};

std::vector<Subject> read_subjects(const fs::path& test_dir) {
  std::vector<Subject> subjects;
  for (const std::string& name : list_subjects(test_dir)) {
    const fs::path file = test_dir / (name + std::string(kTestEnding));
    subjects.push_back({name, read_rows(file)});
    if (subjects.back().rows.empty()) bad_input(file.string(), "holds no rows");
  }
  return subjects;
}

Question make_question(
    const std::string& subject,
    int32_t doc_id,
    std::string prompt,
    std::string_view delimiter,
    const Row& row) {
  Question question;
  question.subject = subject;
  question.doc_id = doc_id;
  question.prompt = std::move(prompt);
  for (const char letter : kLetters) question.choices.push_back(std::string(delimiter) + letter);
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

// The shift by the largest keeps exp() from underflowing; a NaN among the values gives NaN.
float share_of(const std::vector<float>& loglik, size_t choice) {
  const double largest = *std::max_element(loglik.begin(), loglik.end());
  double total = 0;
  for (const float value : loglik) total += std::exp(value - largest);
  return static_cast<float>(std::exp(loglik[choice] - largest) / total);
}

class Mmlu final : public Benchmark {
 public:
  Mmlu(const BenchmarkRequest& request, const PromptStyle& style) {
    const auto shots = static_cast<size_t>(std::max(request.shots, 0));
    const std::vector<Subject> subjects = read_subjects(request.dir / "test");
    std::vector<SubjectSize> sizes;
    for (const Subject& subject : subjects) sizes.push_back({subject.name, subject.rows.size()});
    const auto selected = select_rows(request.selection, sizes, "benchmarks.mmlu");
    for (size_t i = 0; i < subjects.size(); ++i) {
      const Subject& subject = subjects[i];
      if (selected[i].empty()) continue;
      const std::string description = description_of(subject.name);
      const std::vector<Exemplar> exemplars =
          read_exemplars(request.dir / "dev" / (subject.name + "_dev.csv"), shots);
      for (const int32_t doc_id : selected[i]) {
        const Row& row = subject.rows[static_cast<size_t>(doc_id)];
        questions_.push_back(make_question(
            subject.name,
            doc_id,
            make_prompt(style, description, exemplars, block(row)),
            style.answer_delimiter(),
            row));
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

std::unique_ptr<Benchmark> read_mmlu(const BenchmarkRequest& request, const PromptStyle& style) {
  return std::make_unique<Mmlu>(request, style);
}

void score_mmlu(std::string_view gold, Record& record) {
  if (record.loglik.size() != kNumChoices) {
    throw Error(ExitStatus::kInternal, "mmlu: a record without four log-likelihoods");
  }
  const size_t gold_choice = gold.size() == 1 ? std::string_view("0123").find(gold) : gold.npos;
  if (gold_choice == gold.npos) {
    throw Error(ExitStatus::kInternal, "mmlu: a gold choice that is not 0, 1, 2 or 3");
  }
  record.correct = likeliest(record.loglik) == gold_choice ? 1 : 0;
  record.gold_probability = share_of(record.loglik, gold_choice);
}

}  // namespace prune_sweep
