#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

#include "core/job_defaults.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/job.hpp"

namespace prune_sweep {

namespace {

/// The shortest text that reads back as `value`.
std::string number_text(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end};
}

std::string_view strip_blanks(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::string limit_text(const Limit& limit) {
  return limit.value ? number_text(*limit.value) : "all";
}

/// What stands behind the benchmark's name in RUN/job.ini.
std::string selection_key(const Selection& selection) {
  if (!selection.ids.empty()) return "-ids = " + subject_ids_text(selection.ids) + "\n";
  if (selection.sample) return "-sample = " + std::to_string(*selection.sample) + "\n";
  return "-limit = " + limit_text(selection.limit) + "\n";
}

std::string chat_keys(const Chat& chat) {
  switch (chat.format) {
    case ChatFormat::kNone:
      return "\nchat-template = none";
    case ChatFormat::kMultiTurn:
    case ChatFormat::kSingleTurn:
      return std::string("\nchat-template = ") +
             (chat.format == ChatFormat::kMultiTurn ? "multi-turn" : "single-turn") +
             "\nthinking = " + (chat.thinking == Thinking::kOn ? "on" : "off");
  }
  return "";
}

/// `0,3-5` of ascending numbers.
std::string ranges_text(const std::vector<int32_t>& numbers) {
  std::string text;
  for (size_t first = 0; first < numbers.size();) {
    size_t last = first;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(numbers[first]);
    if (last > first) text += "-" + std::to_string(numbers[last]);
    first = last + 1;
  }
  return text;
}

}  // namespace

std::vector<SubjectIds> parse_subject_ids(std::string_view text, std::string_view where) {
  constexpr int32_t kMostIds = 10'000'000;
  std::vector<SubjectIds> all;
  while (!text.empty()) {
    const size_t semicolon = std::min(text.find(';'), text.size());
    std::string_view part = strip_blanks(text.substr(0, semicolon));
    text.remove_prefix(std::min(semicolon + 1, text.size()));
    if (part.empty()) continue;
    SubjectIds entry;
    const size_t colon = part.find(':');
    if (colon != std::string_view::npos) {
      entry.subject = strip_blanks(part.substr(0, colon));
      part.remove_prefix(colon + 1);
    }
    const auto named_twice = [&entry](const SubjectIds& other) {
      return other.subject == entry.subject;
    };
    if (std::any_of(all.begin(), all.end(), named_twice)) {
      bad_input(where, "names '" + printable(entry.subject) + "' twice");
    }
    entry.doc_ids = parse_numbers(part, "doc_id", kMostIds, where);
    if (entry.doc_ids.empty()) bad_input(where, "'" + printable(part) + "' names no question");
    all.push_back(std::move(entry));
  }
  if (all.empty()) bad_input(where, "names no question");
  return all;
}

std::string subject_ids_text(const std::vector<SubjectIds>& ids) {
  std::string text;
  for (const SubjectIds& entry : ids) {
    text += (text.empty() ? "" : ";") + (entry.subject.empty() ? "" : entry.subject + ":") +
            ranges_text(entry.doc_ids);
  }
  return text;
}

std::string Selection::text() const {
  if (!ids.empty()) return "ids " + subject_ids_text(ids);
  if (sample) return "sample " + std::to_string(*sample) + " seed " + std::to_string(seed);
  return "limit " + limit_text(limit);
}

std::string default_job_text(const std::vector<BenchmarkKeys>& known) {
  std::ostringstream text;
  text << "# A job of prune-sweep. Every key is also an option: --section.key=value.\n"
          "# Input paths are relative to this file, output.dir to the working directory.\n\n"
          "[model]\n"
          "# Folder with config.json, safetensors weights and tokenizer.json, as Hugging Face has "
          "it.\n"
          "path = model\n"
          "# bfloat16 | float32 | float16, for GPUs without bfloat16 and slow on CPUs\n"
          "dtype = bfloat16\n"
          "# auto | cpu | cuda\n"
          "device = auto\n\n"
          "[sweep]\n"
          "# Layers to drop, each alone: all | none | a list such as 0,3,7-9.\n"
          "layers = all\n"
          "# Percent of each block's linear weights to zero, smallest magnitudes first: a list | "
          "none.\n"
          "magnitude = "
       << kDefaultMagnitudes
       << "\n"
          "# Over what magnitudes are ranked: tensor | row | global.\n"
          "magnitude-scope = tensor\n"
          "# Whether the embedding is pruned too. Only false is known so far.\n"
          "magnitude-embedding = false\n"
          "# Copies of the baseline to compute once more, each by itself: what they differ by is "
          "the "
          "noise of the machine.\n"
          "repeat-baseline = 0\n"
          "# More variants, any number of lines, each NAME: LAYERS EDIT[, LAYERS EDIT ...]. Edits "
          "are\n"
          "# drop, drop-attention, drop-mlp and magnitude PERCENT.\n"
          "#variant = both: 3 drop, 7 drop-attention, 9-12 magnitude 50\n\n"
          "[benchmarks]\n";
  for (const BenchmarkKeys& benchmark : known) {
    text << "# Folder of the " << benchmark.name
         << " data; leave the key out to skip the benchmark.\n"
         << benchmark.name << " = " << benchmark.name << "\n"
         << "# Few-shot exemplars before each question.\n"
         << benchmark.name << "-shots = 5\n"
         << "# Which questions, in place of what is said for all below: one of these.\n#"
         << benchmark.name << "-limit = 0.1\n#" << benchmark.name << "-sample = 200\n#"
         << benchmark.name << "-ids = "
         << (benchmark.kind == BenchmarkKind::kMultipleChoice ? "anatomy:0,3-5; virology:7"
                                                              : "0,3-5")
         << "\n";
    if (benchmark.kind == BenchmarkKind::kGeneration) {
      text << "# sampled: drawn anew for every question, as lm-evaluation-harness does. fixed: the "
              "first ones.\n"
           << benchmark.name << "-exemplars = sampled\n"
           << "# scored: the log-likelihood of every gold solution is taken, too, a tenth of the "
              "work. skipped: it is not.\n"
           << benchmark.name << "-gold = scored\n";
    }
  }
  text << "# Questions taken of each subject, always the first: all | a share below 1, rounded up "
          "| a number.\n"
          "limit = 0.1\n"
          "# Or so many of each benchmark, drawn from its subjects in proportion to their sizes.\n"
          "#sample = 500\n"
          "seed = 1234\n"
          "# Longest generated answer, in tokens.\n"
          "max-new-tokens = 256\n"
          "# The model's own conversation format: none | multi-turn (exemplars are turns) | "
          "single-turn.\n"
          "chat-template = none\n"
          "# on | off, with a chat template: whether the model reasons before it answers.\n"
          "#thinking = off\n\n"
          "[gates]\n"
          "# A run stops when more of the baseline's answers than this share are ... (--no-gates: "
          "never)\n"
          "# ... generated texts without an answer,\n"
          "max-invalid = 0.5\n"
          "# ... generated texts cut at max-new-tokens,\n"
          "max-truncated = 0.5\n"
          "# ... one and the same choice. (Fewer right choices than guessing gives stop it, too.)\n"
          "max-one-choice = 0.9\n\n"
          "[output]\n"
          "# The run directory.\n"
          "dir = results/run\n";
  return text.str();
}

std::string resolved_job_text(const Job& job) {
  std::ostringstream text;
  text << "[model]\npath = " << job.model.path.string() << "\ndtype = " << name(job.model.dtype)
       << "\ndevice = " << name(job.model.device) << "\n\n[sweep]\nlayers = " << job.sweep.layers
       << "\nmagnitude = ";
  std::vector<std::string> levels;
  for (const Percent& level : job.sweep.magnitude) levels.push_back(level.text());
  static constexpr std::string_view kScopes[] = {"tensor", "row", "global"};
  text << (levels.empty() ? "none" : listed(levels))
       << "\nmagnitude-scope = " << kScopes[static_cast<size_t>(job.sweep.scope)]
       << "\nmagnitude-embedding = false\nrepeat-baseline = " << job.sweep.repeat_baseline << "\n";
  for (const auto& [variant, edits] : job.sweep.variants) {
    text << "variant = " << variant << ": " << edits << "\n";
  }
  text << "\n[benchmarks]\n";
  for (const BenchmarkRequest& request : job.benchmarks) {
    text << request.name << " = " << request.dir.string() << "\n"
         << request.name << selection_key(request.selection) << request.name
         << "-shots = " << request.shots << "\n";
    if (request.kind == BenchmarkKind::kGeneration) {
      const bool sampled = request.exemplars == Exemplars::kSampled;
      const bool scored = request.gold == GoldSolutions::kScored;
      text << request.name << "-exemplars = " << (sampled ? "sampled" : "fixed") << "\n"
           << request.name << "-gold = " << (scored ? "scored" : "skipped") << "\n";
    }
  }
  const BenchmarkRequest& any = job.benchmarks.front();
  text << "seed = " << any.selection.seed << "\nmax-new-tokens = " << any.max_new_tokens
       << chat_keys(any.chat) << "\n\n[gates]\nmax-invalid = " << number_text(job.gates.max_invalid)
       << "\nmax-truncated = " << number_text(job.gates.max_truncated)
       << "\nmax-one-choice = " << number_text(job.gates.max_one_choice)
       << "\n\n[output]\ndir = " << job.output_dir.string() << "\n";
  return text.str();
}

}  // namespace prune_sweep
