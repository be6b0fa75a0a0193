#include "cli/options.hpp"

#include <algorithm>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/shard.hpp"
#include "prune_sweep/inputs/inputs.hpp"
#include "prune_sweep/sweep/child_process.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

bool takes_next_word(const CommandLine& line, const std::string& option) {
  if (line.positional.empty() || line.positional.front() != "submit") return false;
  const std::vector<std::string> names = submit_options_with_value();
  return std::find(names.begin(), names.end(), option.substr(2)) != names.end();
}

}  // namespace

void CommandLine::require_only(
    const std::vector<std::string>& allowed, size_t max_positional) const {
  for (const auto& [flag, value] : flags) {
    if (std::find(allowed.begin(), allowed.end(), flag) == allowed.end()) {
      bad_input(
          "--" + printable(flag),
          "is not an option of " + command,
          "prune-sweep --help lists them.");
    }
  }
  if (positional.size() > max_positional) {
    bad_input(
        "'" + printable(positional[max_positional]) + "'",
        command + " takes no further argument",
        "prune-sweep --help shows how it is used.");
  }
}

CommandLine parse_command_line(int argc, char** argv) {
  CommandLine line;
  for (int i = 0; i < argc; ++i) line.text += (i > 0 ? " " : "") + std::string(argv[i]);
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    if (argument == "-h") argument = "--help";
    if (!argument.starts_with("-")) {
      line.positional.push_back(std::move(argument));
      continue;
    }
    if (!argument.starts_with("--") || argument.size() == 2) {
      bad_input("'" + printable(argument) + "'", "is not an option", "Options begin with --.");
    }
    if (i + 1 < argc && takes_next_word(line, argument)) {
      argument += "=";
      argument += argv[++i];
    }
    const size_t equals = std::min(argument.find('='), argument.size());
    const std::string name = argument.substr(2, equals - 2);
    const bool has_value = equals < argument.size();
    if (name.find('.') != std::string::npos) {
      if (!has_value)
        bad_input(
            "--" + printable(name), "needs a value", "Write --" + printable(name) + "=VALUE.");
      line.overrides.push_back(std::move(argument));
    } else if (!line.flags.try_emplace(name, has_value ? argument.substr(equals + 1) : "").second) {
      bad_input("--" + printable(name), "is given twice");
    }
  }
  return line;
}

fs::path demo_job_path() {
  // Beside an installed program, else in the sources it was built from.
  const fs::path installed =
      sibling_program("../share/prune-sweep/jobs/demo.ini").lexically_normal();
  return fs::exists(installed) ? installed : fs::path(PRUNE_SWEEP_SOURCE_DIR) / "jobs/demo.ini";
}

Job job_of(const CommandLine& line) {
  const fs::path path = line.positional.empty() ? demo_job_path() : fs::path(line.positional[0]);
  return read_job(path, line.overrides, benchmark_keys());
}

fs::path output_dir_of(const CommandLine& line) {
  const fs::path dir = job_of(line).output_dir;
  const auto shard = line.flags.find("shard");
  return shard == line.flags.end() ? dir : shard_dir(dir, parse_shard(shard->second));
}

}  // namespace prune_sweep
