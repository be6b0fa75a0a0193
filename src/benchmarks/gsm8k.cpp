#include "benchmarks/gsm8k.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "benchmarks/fewshot.hpp"
#include "benchmarks/harness_samples.hpp"
#include "benchmarks/selection.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/text/reader.hpp"
#include "prune_sweep/text/utf8.hpp"

namespace prune_sweep {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kMark = "#### ";
// What the harness generates when its generation settings do not say how much.
constexpr int32_t kHarnessNewTokens = 256;

struct Row {
  int64_t line = 0;
  std::string question;
  std::string answer;
};

std::vector<Row> read_rows(const std::filesystem::path& path) {
  std::vector<Row> rows;
  for (const JsonLine& line : read_json_lines(path)) {
    const auto text = [&](const char* key) {
      const auto found = line.object.find(key);
      if (found == line.object.end() || !found->is_string()) {
        bad_input(at_line(path.string(), line.line) + ": " + key, "a text is expected");
      }
      return found->get<std::string>();
    };
    rows.push_back({line.line, text("question"), text("answer")});
  }
  if (rows.empty()) bad_input(path.string(), "holds no rows");
  return rows;
}

std::string block(const Row& row) { return "Question: " + row.question + "\nAnswer:"; }

// Which rows of the train file stand before each question. Drawn for question 0, 1, 2, ... from one
// generator, whatever part of the questions a process evaluates.
class ExemplarChoice {
 public:
  ExemplarChoice(Exemplars kind, uint32_t num_rows, uint32_t shots)
      : kind_(kind), num_rows_(num_rows), shots_(shots), random_(kFewshotSeed) {}

  std::vector<uint32_t> next() {
    if (kind_ == Exemplars::kSampled) return random_.sample(num_rows_, shots_);
    std::vector<uint32_t> first(shots_);
    std::iota(first.begin(), first.end(), 0U);
    return first;
  }

 private:
  Exemplars kind_;
  uint32_t num_rows_;
  uint32_t shots_;
  PythonRandom random_;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_number_part(char c) { return is_digit(c) || c == '.' || c == ','; }
bool is_amount_part(char c) { return is_number_part(c) || c == '$'; }

// End of the run of characters from `at` on that satisfy `belongs`.
template <typename Belongs>
size_t run_end(std::string_view text, size_t at, Belongs belongs) {
  while (at < text.size() && belongs(text[at])) ++at;
  return at;
}

// End of a match of flexible-extract at `at`, or `at` when there is none.
size_t flexible_match_end(std::string_view text, size_t at) {
  const size_t first = at + (text[at] == '-' ? 1 : 0);
  const size_t amount_end = run_end(text, first, is_amount_part);
  if (amount_end - first >= 2) return amount_end;
  const size_t number_end = run_end(text, first, is_digit);
  return number_end > first ? number_end : at;
}

// What the harness keeps of a reasoning model's text (postprocess_generated_text), idempotent.
std::string without_thoughts(std::string_view response) {
  constexpr std::string_view kEnd = "</think>";
  const size_t end = response.rfind(kEnd);
  if (end != std::string_view::npos) response.remove_prefix(end + kEnd.size());
  return std::string(lstrip(response));
}

class Gsm8k final : public Benchmark {
 public:
  Gsm8k(const BenchmarkRequest& request, const PromptStyle& style)
      : max_new_tokens_(request.max_new_tokens), thinking_(style.chat.thinking) {
    const auto test_file = request.dir / "test.jsonl";
    const auto train_file = request.dir / "train.jsonl";
    const std::vector<Row> test = read_rows(test_file);
    const auto shots = static_cast<uint32_t>(std::max(request.shots, 0));
    const std::vector<Row> train = shots > 0 ? read_rows(train_file) : std::vector<Row>{};
    if (train.size() < shots) {
      bad_input(
          train_file.string() + ": " + std::to_string(train.size()) + " rows",
          "gsm8k-shots=" + std::to_string(shots) + " needs more");
    }
    ExemplarChoice choice(request.exemplars, static_cast<uint32_t>(train.size()), shots);
    const auto selected =
        select_rows(request.selection, {{"", test.size()}}, "benchmarks.gsm8k").front();
    auto next_selected = selected.begin();
    // Exemplars are drawn for the rows that are passed over, too: a question has the same ones in
    // every selection.
    for (int32_t doc_id = 0; next_selected != selected.end(); ++doc_id) {
      const std::vector<uint32_t> drawn = choice.next();
      if (doc_id != *next_selected) continue;
      ++next_selected;
      const Row& row = test[static_cast<size_t>(doc_id)];
      if (row.answer.find(kMark) == std::string::npos) {
        bad_input(at_line(test_file.string(), row.line) + ": answer", "has no `#### `");
      }
      Question question;
      question.doc_id = doc_id;
      std::vector<Exemplar> exemplars;
      for (const uint32_t i : drawn) exemplars.push_back({block(train[i]), train[i].answer});
      question.prompt = make_prompt(style, "", exemplars, block(row));
      question.target = row.answer;
      if (request.gold == GoldSolutions::kScored) {
        question.solution = std::string(style.answer_delimiter()) + row.answer;
      }
      question.gold = normalized_answer(row.answer);
      question.doc_json = Json{{"question", row.question}, {"answer", row.answer}}.dump();
      questions_.push_back(std::move(question));
    }
  }

  std::string_view name() const override { return "gsm8k"; }
  BenchmarkKind kind() const override { return BenchmarkKind::kGeneration; }
  std::span<const Question> questions() const override { return questions_; }
  std::vector<std::string> stop_strings() const override {
    return {"Question:", "</s>", "<|im_end|>"};
  }

  void score(const Question& question, Record& record) const override {
    if (thinking_ == Thinking::kOn) record.response = without_thoughts(record.response);
    score_gsm8k(normalized_answer(question.target), record);
  }

  std::vector<std::string> samples(const Question& question, const Record& record) const override {
    if (record.strict_correct == kNotEvaluated) return {};
    Json settings{{"until", stop_strings()}, {"do_sample", false}, {"temperature", 0.0}};
    if (max_new_tokens_ != kHarnessNewTokens) settings["max_gen_toks"] = max_new_tokens_;
    const auto line = [&](const char* filter, const std::string& answer, uint8_t correct) {
      HarnessSample sample;
      sample.requests = {settings};
      sample.responses = Json::array({Json::array({record.response})});
      sample.filtered_responses = Json::array({answer});
      sample.filter = filter;
      sample.metric = "exact_match";
      sample.value = correct;
      return harness_sample_line(question, sample);
    };
    return {
        line("strict-match", record.strict_answer, record.strict_correct),
        line("flexible-extract", record.flexible_answer, record.flexible_correct)};
  }

 private:
  int32_t max_new_tokens_;
  Thinking thinking_;
  std::vector<Question> questions_;
};

}  // namespace

std::unique_ptr<Benchmark> read_gsm8k(const BenchmarkRequest& request, const PromptStyle& style) {
  return std::make_unique<Gsm8k>(request, style);
}

void score_gsm8k(std::string_view gold, Record& record) {
  record.strict_answer = strict_match(record.response);
  record.flexible_answer = flexible_extract(record.response);
  record.strict_correct = normalized_answer(record.strict_answer) == gold ? 1 : 0;
  record.flexible_correct = normalized_answer(record.flexible_answer) == gold ? 1 : 0;
}

std::string strict_match(std::string_view response) {
  for (size_t mark = response.find(kMark); mark != response.npos;
       mark = response.find(kMark, mark + 1)) {
    const size_t begin = mark + kMark.size();
    const size_t digits = begin + (response.substr(begin).starts_with('-') ? 1 : 0);
    const size_t end = run_end(response, digits, is_number_part);
    if (end > digits) return std::string(response.substr(begin, end - begin));
  }
  return std::string(kInvalidAnswer);
}

std::string flexible_extract(std::string_view response) {
  std::string_view last = kInvalidAnswer;
  for (size_t at = 0; at < response.size();) {
    const size_t end = flexible_match_end(response, at);
    if (end > at) last = response.substr(at, end - at);
    at = std::max(end, at + 1);
  }
  return std::string(last);
}

std::string normalized_answer(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c != ',' && c != '$') result += c;
  }
  if (const size_t mark = result.rfind(kMark); mark != result.npos) {
    result.erase(0, mark + kMark.size());
  }
  // Python's $ also matches before a line feed at the very end.
  const size_t before_line_feed = result.size() - (result.ends_with('\n') ? 1 : 0);
  if (result.ends_with('.')) {
    result.pop_back();
  } else if (before_line_feed > 0 && result[before_line_feed - 1] == '.') {
    result.erase(before_line_feed - 1, 1);
  }
  // What is extracted has no letters but those of [invalid], so ASCII is enough to compare equal as
  // Python does.
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

}  // namespace prune_sweep
