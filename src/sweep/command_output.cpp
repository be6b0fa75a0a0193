#include "prune_sweep/sweep/command_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/clock.hpp"

extern char** environ;

namespace prune_sweep {

namespace {

constexpr size_t kMaxBytes = 1 << 20;

/// Two ends, closed together.
struct Pipe {
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw Error(ExitStatus::kInternal, "pipe2", std::strerror(errno));
    }
  }
  ~Pipe() {
    close_write_end();
    ::close(ends[0]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_write_end() {
    if (ends[1] >= 0) ::close(ends[1]);
    ends[1] = -1;
  }
  std::array<int, 2> ends{-1, -1};
};

/// Starts it with nothing to read and no signal blocked; an errno.
int spawn(pid_t& pid, const std::vector<std::string>& arguments, const Pipe& out, const Pipe& err) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none;
  sigemptyset(&none);
  int error = posix_spawn_file_actions_init(&actions);
  if (error != 0) return error;
  error = posix_spawnattr_init(&attributes);
  if (error == 0) {
    std::vector<char*> pointers;
    for (const std::string& argument : arguments) {
      pointers.push_back(const_cast<char*>(argument.c_str()));
    }
    pointers.push_back(nullptr);
    error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, out.ends[1], 1);
    if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, err.ends[1], 2);
    if (error == 0) error = posix_spawnattr_setsigmask(&attributes, &none);
    if (error == 0) error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    if (error == 0) {
      error = posix_spawnp(&pid, pointers[0], &actions, &attributes, pointers.data(), environ);
    }
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

/// Reads both until they end; false when that takes too long.
bool read_both(const Pipe& out, const Pipe& err, CommandOutput& output, double until_s) {
  std::array<pollfd, 2> entries{pollfd{out.ends[0], POLLIN, 0}, pollfd{err.ends[0], POLLIN, 0}};
  const std::array<std::string*, 2> texts{&output.text, &output.errors};
  while (entries[0].fd >= 0 || entries[1].fd >= 0) {
    const double left_s = until_s - monotonic_s();
    if (left_s <= 0) return false;
    if (::poll(entries.data(), entries.size(), static_cast<int>(1000 * left_s) + 1) < 0 &&
        errno != EINTR) {
      return false;
    }
    for (size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].fd < 0 || entries[i].revents == 0) continue;
      std::array<char, 4096> bytes{};
      const ssize_t count = ::read(entries[i].fd, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        entries[i].fd = -1;
      } else if (texts[i]->size() < kMaxBytes) {
        texts[i]->append(bytes.data(), static_cast<size_t>(count));
      }
    }
  }
  return true;
}

/// Its exit status once it has ended; false when that takes too long.
bool reap(pid_t pid, int& exit_status, double until_s) {
  while (true) {
    int status = 0;
    const pid_t reaped = ::waitpid(pid, &status, WNOHANG);
    if (reaped == pid) {
      if (WIFEXITED(status)) exit_status = WEXITSTATUS(status);
      return true;
    }
    if ((reaped < 0 && errno != EINTR) || monotonic_s() > until_s) return reaped < 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace

CommandOutput run_command(const std::vector<std::string>& arguments, double timeout_s) {
  const double until_s = monotonic_s() + timeout_s;
  CommandOutput output;
  Pipe out;
  Pipe err;
  pid_t pid = -1;
  const int error = spawn(pid, arguments, out, err);
  if (error != 0) {
    output.errors = arguments[0] + ": " + std::strerror(error);
    return output;
  }
  out.close_write_end();
  err.close_write_end();
  if (!read_both(out, err, output, until_s) || !reap(pid, output.exit_status, until_s)) {
    ::kill(pid, SIGKILL);
    reap(pid, output.exit_status, monotonic_s() + 5);
    output.exit_status = -1;
    output.errors =
        arguments[0] + ": no answer within " + std::to_string(static_cast<int>(timeout_s)) + " s";
  }
  while (!output.errors.empty() && output.errors.back() == '\n') output.errors.pop_back();
  output.errors = printable(output.errors, 400);
  return output;
}

}  // namespace prune_sweep
