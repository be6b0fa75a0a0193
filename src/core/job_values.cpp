#include "core/job_values.hpp"

#include <set>
#include <sstream>
#include <utility>

#include "core/job_defaults.hpp"
#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace po = boost::program_options;

namespace {

po::options_description job_options(const std::vector<BenchmarkKeys>& known) {
  po::options_description options;
  const auto text = [](std::string_view value) {
    return po::value<std::string>()->default_value(std::string(value));
  };
  auto add = options.add_options();
  add("model.path", text(""));
  add("model.dtype", text("bfloat16"));
  add("model.device", text("auto"));
  add("sweep.layers", text("all"));
  add("sweep.magnitude", text(kDefaultMagnitudes));
  add("sweep.magnitude-scope", text("tensor"));
  add("sweep.magnitude-embedding", text("false"));
  add("sweep.repeat-baseline", text("0"));
  add(kVariantKey, po::value<std::vector<std::string>>());
  add("benchmarks.limit", text("all"));
  add("benchmarks.sample", text(""));
  add("benchmarks.seed", text(std::to_string(kDefaultSeed)));
  add("benchmarks.max-new-tokens", text("256"));
  add("benchmarks.chat-template", text("none"));
  add("benchmarks.thinking", text(""));
  add("gates.max-invalid", text("0.5"));
  add("gates.max-truncated", text("0.5"));
  add("gates.max-one-choice", text("0.9"));
  add("output.dir", text(""));
  for (const BenchmarkKeys& benchmark : known) {
    const std::string key = "benchmarks." + benchmark.name;
    add(key.c_str(), text(""));
    add((key + "-limit").c_str(), text(""));
    add((key + "-sample").c_str(), text(""));
    add((key + "-ids").c_str(), text(""));
    add((key + "-shots").c_str(), text("5"));
    if (benchmark.kind == BenchmarkKind::kGeneration) {
      add((key + "-exemplars").c_str(), text("sampled"));
      add((key + "-gold").c_str(), text("scored"));
    }
  }
  return options;
}

/// The text as Boost reads it: no byte order mark, and no lines that begin with `;`, since it knows
/// only `#`.
std::string plain_ini(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::istringstream lines{std::string(text)};
  std::string plain;
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find_first_not_of(" \t");
    if (first == std::string::npos || line[first] != ';') plain += line + '\n';
  }
  return plain;
}

/// The overrides that count: the last one of every key, but all lines of sweep.variant.
po::parsed_options parse_overrides(
    const std::vector<std::string>& overrides, const po::options_description& options) {
  po::parsed_options given =
      po::command_line_parser(overrides)
          .options(options)
          .style(po::command_line_style::allow_long | po::command_line_style::long_allow_adjacent)
          .run();
  std::set<std::string> seen;
  std::vector<po::option> kept;
  for (auto option = given.options.rbegin(); option != given.options.rend(); ++option) {
    if (option->string_key.empty()) {
      bad_input("'" + printable(listed(option->value)) + "'", "is not --section.key=value");
    }
    const bool is_last = seen.insert(option->string_key).second;
    if (is_last || option->string_key == kVariantKey) kept.push_back(*option);
  }
  given.options.assign(kept.rbegin(), kept.rend());
  return given;
}

std::string key_names(const po::options_description& options) {
  std::vector<std::string> names;
  for (const auto& option : options.options()) names.push_back(option->long_name());
  return listed(names);
}

}  // namespace

JobValues::JobValues(
    const std::string& text,
    std::string source,
    const std::vector<std::string>& overrides,
    const std::vector<BenchmarkKeys>& known)
    : source_(std::move(source)) {
  const po::options_description options = job_options(known);
  try {
    // What is stored first for a key stays: overrides come before the file.
    po::store(parse_overrides(overrides, options), values_);
    std::istringstream file(plain_ini(text));
    po::store(po::parse_config_file(file, options), values_);
  } catch (const po::unknown_option& error) {
    bad_input(
        source_ + ": " + printable(error.get_option_name()),
        "unknown key",
        "Known keys: " + key_names(options) + ".");
  } catch (const po::error& error) {
    bad_input(source_, printable(error.what(), 300));
  }
}

std::vector<std::string> JobValues::lines(const std::string& key) const {
  if (values_.count(key) == 0) return {};
  return values_[key].as<std::vector<std::string>>();
}

std::string JobValues::where(const std::string& key) const {
  return source_ + ": " + key + "=" + printable(text(key));
}

}  // namespace prune_sweep
