/// \file
/// Programs that a rank starts: its evaluator, and the packer of the archive.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "prune_sweep/protocol/channel.hpp"
#include "prune_sweep/sweep/place.hpp"

namespace prune_sweep {

/// A started program. Killed and reaped with this object, if it still runs.
class ChildProcess {
 public:
  /// Starts `program` with `arguments`; with `channel_fd` it finds that descriptor as number 3. The
  /// launcher's variables are taken out of its environment, `variables` (NAME=VALUE) put in, no
  /// signal is blocked in it. Throws Error (kInternal).
  ChildProcess(
      const std::filesystem::path& program,
      const std::vector<std::string>& arguments,
      std::optional<int> channel_fd,
      std::vector<std::string> variables = {});
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;

  pid_t pid() const { return pid_; }
  void kill();
  /// How it ended, once it has: "exit status 3", "signal 9 (Killed)".
  std::optional<std::string> ended();
  /// Its exit status, once it ended by itself; -1 after a signal.
  int exit_status() const { return exit_status_; }

 private:
  pid_t pid_ = -1;
  int exit_status_ = -1;
  std::optional<std::string> ended_;
};

/// A program that lies in the same folder as this one.
std::filesystem::path sibling_program(const std::string& name);

/// An evaluator and the socket to it.
struct EvaluatorProcess {
  Channel channel;
  ChildProcess process;
};
/// It sees the GPU of `place`, if there is one, and no other.
EvaluatorProcess start_evaluator(const Place& place);

}  // namespace prune_sweep
