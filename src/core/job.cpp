#include "prune_sweep/core/job.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "core/job_values.hpp"
#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

template <typename Choice>
Choice choose(
    std::string_view text,
    std::string_view where,
    const std::vector<std::pair<std::string_view, Choice>>& choices) {
  std::vector<std::string_view> names;
  for (const auto& [name, value] : choices) {
    if (name == text) return value;
    names.push_back(name);
  }
  bad_input(where, "must be one of " + listed(names));
}

int32_t integer_in(const JobValues& values, const std::string& key, int32_t low, int32_t high) {
  const std::string& text = values.text(key);
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    bad_input(
        values.where(key),
        "must be a whole number in [" + std::to_string(low) + ", " + std::to_string(high) + "]");
  }
  return value;
}

Limit read_limit(const JobValues& values, const std::string& key) {
  const std::string& text = values.text(key);
  if (text == "all") return {};
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (!is_number || !(value > 0) || value > 1e9 || (value > 1 && value != std::floor(value))) {
    bad_input(
        values.where(key),
        "must be all, a share in (0, 1) or a whole number of questions; 1 is one question");
  }
  return {value};
}

std::vector<Percent> read_levels(const JobValues& values) {
  const std::string key = "sweep.magnitude";
  const std::string& text = values.text(key);
  std::vector<Percent> levels;
  if (text == "none") return levels;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t begin = part.find_first_not_of(" \t");
    const size_t end = part.find_last_not_of(" \t");
    if (begin == std::string::npos) bad_input(values.where(key), "an empty level");
    levels.push_back(Percent::parse(part.substr(begin, end - begin + 1), values.where(key)));
  }
  if (levels.empty()) bad_input(values.where(key), "must be none or a list of percents");
  return levels;
}

Job::NamedEdits read_named_edits(const std::string& line, const std::string& source) {
  const size_t colon = line.find(':');
  const std::string where = source + ": " + kVariantKey + "=" + printable(line);
  if (colon == std::string::npos) {
    bad_input(where, "must be NAME: EDITS, as in both: 3 drop, 9-12 magnitude 50");
  }
  std::string name = line.substr(0, colon);
  name.erase(name.find_last_not_of(" \t") + 1);
  static constexpr std::string_view kNameBytes =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-";
  if (name.empty() || name.size() > 64 || name.find_first_not_of(kNameBytes) != std::string::npos) {
    bad_input(where, "a name is 1 to 64 letters, digits and . _ + -");
  }
  std::string edits = line.substr(colon + 1);
  edits.erase(0, edits.find_first_not_of(" \t"));
  edits.erase(edits.find_last_not_of(" \t") + 1);
  return {name, edits};
}

fs::path path_from(const JobValues& values, const std::string& key, const fs::path& base) {
  if (values.text(key).empty()) bad_input(values.source() + ": " + key, "must be given");
  fs::path path = fs::absolute(base / values.text(key)).lexically_normal();
  // RUN/job.ini could not hold it: INI has no quotes.
  const std::string& text = path.native();
  if (text.find_first_of("#\n\r") != std::string::npos || text.ends_with(' ') ||
      text.ends_with('\t')) {
    bad_input(
        values.source() + ": " + key + "=" + printable(text, 300),
        "a path may not hold # or a line break, nor end in a blank");
  }
  return path;
}

/// The one key of `keys` that says which questions, or none. The first is a limit, which says
/// nothing against the others where it is `all`.
std::optional<std::string> one_of(const JobValues& values, const std::vector<std::string>& keys) {
  std::optional<std::string> given;
  for (const std::string& key : keys) {
    if (values.text(key).empty()) continue;
    if (given && values.text(*given) != "all") {
      bad_input(
          values.where(key),
          *given + "=" + values.text(*given) + " is given, too",
          "Give one of them; " + keys.front() + "=all takes a limit back.");
    }
    given = key;
  }
  return given;
}

/// `benchmark` is the key of the benchmark; what it says goes before what is said for all.
Selection read_selection(const JobValues& values, const std::string& benchmark) {
  auto key = one_of(values, {benchmark + "-limit", benchmark + "-sample", benchmark + "-ids"});
  if (!key) {
    key = one_of(values, {"benchmarks.limit", "benchmarks.sample"}).value_or("benchmarks.limit");
  }
  Selection selection;
  selection.seed = static_cast<uint32_t>(integer_in(values, "benchmarks.seed", 0, INT32_MAX));
  if (key->ends_with("sample")) {
    selection.sample = integer_in(values, *key, 1, 1'000'000'000);
  } else if (key->ends_with("-ids")) {
    selection.ids = parse_subject_ids(values.text(*key), values.where(*key));
  } else {
    selection.limit = read_limit(values, *key);
  }
  return selection;
}

Chat read_chat(const JobValues& values, const BenchmarkKeys& benchmark) {
  const std::string template_key = "benchmarks.chat-template";
  const std::string thinking_key = "benchmarks.thinking";
  Chat chat;
  chat.format = choose<ChatFormat>(
      values.text(template_key),
      values.where(template_key),
      {{"none", ChatFormat::kNone},
       {"multi-turn", ChatFormat::kMultiTurn},
       {"single-turn", ChatFormat::kSingleTurn}});
  const bool is_chat = chat.format != ChatFormat::kNone;
  if (values.text(thinking_key).empty()) {
    if (!is_chat) return chat;
    bad_input(
        values.source() + ": " + thinking_key,
        "must be given with a chat template: it changes every answer",
        "Say on or off.");
  }
  chat.thinking = choose<Thinking>(
      values.text(thinking_key),
      values.where(thinking_key),
      {{"off", Thinking::kOff}, {"on", Thinking::kOn}});
  if (chat.thinking == Thinking::kOff) return chat;
  if (!is_chat) bad_input(values.where(thinking_key), "needs a chat template");
  if (benchmark.kind == BenchmarkKind::kMultipleChoice) {
    bad_input(
        values.where(thinking_key),
        benchmark.name + " is answered by log-likelihoods of its choices, before any thought",
        "Say off, or leave " + benchmark.name + " out.");
  }
  return chat;
}

double read_share(const JobValues& values, const std::string& key) {
  const std::string& text = values.text(key);
  double share = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), share);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (!is_number || !(share >= 0 && share <= 1)) {
    bad_input(values.where(key), "must be a share in [0, 1]; 1 never stops a run");
  }
  return share;
}

std::vector<BenchmarkRequest> read_benchmarks(
    const JobValues& values, const fs::path& base, const std::vector<BenchmarkKeys>& known) {
  std::vector<BenchmarkRequest> requests;
  std::vector<std::string> names;
  for (const BenchmarkKeys& benchmark : known) {
    names.push_back("benchmarks." + benchmark.name);
    const std::string& key = names.back();
    if (values.text(key).empty()) continue;
    BenchmarkRequest request{
        .name = benchmark.name, .dir = path_from(values, key, base), .kind = benchmark.kind};
    request.selection = read_selection(values, key);
    request.chat = read_chat(values, benchmark);
    request.shots = integer_in(values, key + "-shots", 0, 1000);
    request.max_new_tokens = integer_in(values, "benchmarks.max-new-tokens", 1, 100'000);
    if (benchmark.kind == BenchmarkKind::kGeneration) {
      request.exemplars = choose<Exemplars>(
          values.text(key + "-exemplars"),
          values.where(key + "-exemplars"),
          {{"sampled", Exemplars::kSampled}, {"fixed", Exemplars::kFixed}});
      request.gold = choose<GoldSolutions>(
          values.text(key + "-gold"),
          values.where(key + "-gold"),
          {{"scored", GoldSolutions::kScored}, {"skipped", GoldSolutions::kSkipped}});
    } else {
      request.exemplars = Exemplars::kFixed;
    }
    requests.push_back(std::move(request));
  }
  if (requests.empty()) {
    bad_input(values.source(), "no benchmark", "Give at least one of " + listed(names) + ".");
  }
  return requests;
}

Job::Sweep read_sweep(const JobValues& values) {
  Job::Sweep sweep;
  sweep.layers = values.text("sweep.layers");
  if (sweep.layers.find_first_not_of(" \t,") == std::string::npos) {
    bad_input(values.where("sweep.layers"), "must be all, none or a list such as 0,3,7-9");
  }
  sweep.magnitude = read_levels(values);
  sweep.scope = choose<MagnitudeScope>(
      values.text("sweep.magnitude-scope"),
      values.where("sweep.magnitude-scope"),
      {{"tensor", MagnitudeScope::kTensor},
       {"row", MagnitudeScope::kRow},
       {"global", MagnitudeScope::kGlobal}});
  if (values.text("sweep.magnitude-embedding") != "false") {
    bad_input(
        values.where("sweep.magnitude-embedding"),
        "must be false: only the blocks' linear weights can be pruned so far");
  }
  for (const std::string& line : values.lines(kVariantKey)) {
    sweep.variants.push_back(read_named_edits(line, values.source()));
  }
  sweep.repeat_baseline = integer_in(values, "sweep.repeat-baseline", 0, 1000);
  return sweep;
}

}  // namespace

std::string_view name(DType dtype) {
  switch (dtype) {
    case DType::kBfloat16:
      return "bfloat16";
    case DType::kFloat32:
      return "float32";
    case DType::kFloat16:
      return "float16";
  }
  return "";
}

std::string_view name(DeviceKind device) {
  switch (device) {
    case DeviceKind::kAuto:
      return "auto";
    case DeviceKind::kCpu:
      return "cpu";
    case DeviceKind::kCuda:
      return "cuda";
  }
  return "";
}

DType parse_dtype(std::string_view text, std::string_view where) {
  return choose<DType>(
      text,
      where,
      {{"bfloat16", DType::kBfloat16}, {"float32", DType::kFloat32}, {"float16", DType::kFloat16}});
}

DeviceKind parse_device(std::string_view text, std::string_view where) {
  return choose<DeviceKind>(
      text,
      where,
      {{"auto", DeviceKind::kAuto}, {"cpu", DeviceKind::kCpu}, {"cuda", DeviceKind::kCuda}});
}

size_t Limit::of(size_t num_questions) const {
  if (!value) return num_questions;
  // As lm-evaluation-harness: ceil(n * limit) in binary floating point below 1, a count from 1 on.
  const double count =
      *value < 1 ? std::ceil(static_cast<double>(num_questions) * *value) : std::floor(*value);
  return std::min(num_questions, static_cast<size_t>(count));
}

Job parse_job(
    const std::string& text,
    const std::string& source,
    const fs::path& base,
    const std::vector<std::string>& overrides,
    const std::vector<BenchmarkKeys>& known) {
  const JobValues values(text, source, overrides, known);
  Job job;
  job.source = source;
  job.model.path = path_from(values, "model.path", base);
  job.model.dtype = parse_dtype(values.text("model.dtype"), values.where("model.dtype"));
  job.model.device = parse_device(values.text("model.device"), values.where("model.device"));
  job.sweep = read_sweep(values);
  job.benchmarks = read_benchmarks(values, base, known);
  job.gates = {
      read_share(values, "gates.max-invalid"),
      read_share(values, "gates.max-truncated"),
      read_share(values, "gates.max-one-choice")};
  job.output_dir = path_from(values, "output.dir", fs::current_path());
  return job;
}

Job read_job(
    const fs::path& path,
    const std::vector<std::string>& overrides,
    const std::vector<BenchmarkKeys>& known) {
  std::error_code error;
  if (fs::is_directory(path, error)) bad_input(path.string(), "is a folder, not a job file");
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    bad_input(path.string() + ": cannot be opened", std::strerror(errno), "Name a job file.");
  }
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) bad_input(path.string() + ": cannot be read", std::strerror(errno));
  return parse_job(text.str(), path.string(), fs::absolute(path).parent_path(), overrides, known);
}

std::vector<Variant> enumerate_variants(const Job& job, int32_t num_layers) {
  std::vector<Variant> variants{{std::string(kBaseline), {}}};
  if (job.sweep.layers != "none") {
    const std::string list =
        job.sweep.layers == "all" ? "0-" + std::to_string(num_layers - 1) : job.sweep.layers;
    const std::string where = job.source + ": sweep.layers=" + printable(job.sweep.layers);
    for (const int32_t layer : parse_layers(list, num_layers, where)) {
      variants.push_back({drop_name(layer), {{.layer = layer, .kind = EditKind::kDrop}}});
    }
  }
  for (const Percent& level : job.sweep.magnitude) {
    Variant variant{magnitude_name(level), {}};
    for (int32_t layer = 0; layer < num_layers; ++layer) {
      variant.edits.push_back({layer, EditKind::kMagnitude, level, job.sweep.scope});
    }
    variants.push_back(std::move(variant));
  }
  for (const auto& [variant, edits] : job.sweep.variants) {
    const std::string where =
        job.source + ": " + kVariantKey + "=" + variant + ": " + printable(edits);
    variants.push_back({variant, parse_edits(edits, num_layers, job.sweep.scope, where)});
  }
  for (int32_t repeat = 1; repeat <= job.sweep.repeat_baseline; ++repeat) {
    variants.push_back({repeat_name(repeat), {}, repeat});
  }
  std::set<std::string> names;
  for (const Variant& variant : variants) {
    if (!names.insert(variant.name).second) {
      bad_input(
          job.source + ": variant " + variant.name,
          "the name is given twice",
          "Rename one of the two.");
    }
  }
  return variants;
}

}  // namespace prune_sweep
