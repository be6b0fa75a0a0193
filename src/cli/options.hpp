/// \file
/// The command line, taken apart; one function per command.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "prune_sweep/core/job.hpp"

namespace prune_sweep {

/// `prune-sweep COMMAND [positional ...] [--section.key=value ...] [--flag[=value] ...]`.
struct CommandLine {
  std::string command;
  std::vector<std::string> positional;
  std::vector<std::string> overrides;        ///< options with a dot: the job's keys
  std::map<std::string, std::string> flags;  ///< the others, without dashes
  std::string text;                          ///< the whole line, for the record

  /// Throws Error (kBadInput) for a flag that is not in `allowed`, or for more positional arguments
  /// than `max_positional`.
  void require_only(const std::vector<std::string>& allowed, size_t max_positional) const;
  bool has(const std::string& flag) const { return flags.count(flag) > 0; }
};

/// Throws Error (kBadInput) for what is not an option. A first word that is no command is taken as
/// a job of `run`.
CommandLine parse_command_line(int argc, char** argv);

/// The job of the first positional argument, or the bundled demo job.
Job job_of(const CommandLine& line);

/// Where the job's run is: its output.dir, or that of the shard that --shard names. Reads no more
/// than the job file.
std::filesystem::path output_dir_of(const CommandLine& line);

/// The job file that runs when none is named.
std::filesystem::path demo_job_path();

/// What every command's function looks like; the value is the exit status.
using Command = int (*)(const CommandLine& line);

int command_run(const CommandLine& line);
int command_plan(const CommandLine& line);
int command_check(const CommandLine& line);
int command_status(const CommandLine& line);
int command_tokenize(const CommandLine& line);
int command_samples(const CommandLine& line);
int command_pack(const CommandLine& line);
int command_verify(const CommandLine& line);
int command_merge(const CommandLine& line);
int command_explain(const CommandLine& line);
int command_submit(const CommandLine& line);

/// Options of `submit` that need a value: as sbatch's they may have it in the next word.
std::vector<std::string> submit_options_with_value();

}  // namespace prune_sweep
