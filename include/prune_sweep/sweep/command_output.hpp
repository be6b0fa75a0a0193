/// \file
/// What another program says.
#pragma once

#include <string>
#include <vector>

namespace prune_sweep {

struct CommandOutput {
  int exit_status = -1;  ///< -1: it could not be started, was killed, or took too long
  std::string text;      ///< of its standard output
  std::string errors;    ///< of its standard error, or why it could not be run; one line
};

/// Runs the program `arguments[0]`, found in PATH, without a shell; kills it after `timeout_s`.
/// Whatever goes wrong is in the result.
CommandOutput run_command(const std::vector<std::string>& arguments, double timeout_s);

}  // namespace prune_sweep
