#include "prune_sweep/sweep/child_process.hpp"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

#include "prune_sweep/core/check.hpp"

extern char** environ;

namespace prune_sweep {

namespace {

constexpr int kChannelFd = 3;
constexpr int kMaxReap_ms = 5000;

void spawn_check(int error_number, std::string_view call) {
  if (error_number != 0) throw Error(ExitStatus::kInternal, call, std::strerror(error_number));
}

/// The environment without what would make the child take itself for a rank. OpenMP threads that
/// wait must not spin: there may be more ranks than cores. `variables` take the place of those of
/// the same name.
std::vector<std::string> child_environment(std::vector<std::string> variables) {
  variables.emplace_back("OMP_WAIT_POLICY=PASSIVE");
  const size_t num_own = variables.size();
  const auto is_replaced = [&](std::string_view variable) {
    const std::string_view name = variable.substr(0, variable.find('=') + 1);
    return std::any_of(
        variables.begin(),
        variables.begin() + static_cast<std::ptrdiff_t>(num_own),
        [&](const std::string& own) { return own.starts_with(name); });
  };
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable(*entry);
    if (variable.starts_with("OMPI_") || variable.starts_with("PMIX_") ||
        variable.starts_with("PMI_") || is_replaced(variable)) {
      continue;
    }
    variables.emplace_back(variable);
  }
  return variables;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

/// File actions and attributes of posix_spawn, freed together.
class SpawnOptions {
 public:
  explicit SpawnOptions(std::optional<int> channel_fd) {
    spawn_check(posix_spawn_file_actions_init(&actions_), "posix_spawn_file_actions_init");
    spawn_check(posix_spawnattr_init(&attributes_), "posix_spawnattr_init");
    if (channel_fd) {
      spawn_check(
          posix_spawn_file_actions_adddup2(&actions_, *channel_fd, kChannelFd),
          "posix_spawn_file_actions_adddup2");
    }
    sigset_t none;
    sigemptyset(&none);
    spawn_check(posix_spawnattr_setsigmask(&attributes_, &none), "posix_spawnattr_setsigmask");
    spawn_check(
        posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK), "posix_spawnattr_setflags");
  }
  ~SpawnOptions() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnOptions(const SpawnOptions&) = delete;
  SpawnOptions& operator=(const SpawnOptions&) = delete;

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

}  // namespace

ChildProcess::ChildProcess(
    const std::filesystem::path& program,
    const std::vector<std::string>& arguments,
    std::optional<int> channel_fd,
    std::vector<std::string> variables) {
  const SpawnOptions options(channel_fd);
  std::vector<std::string> argument_texts{program.string()};
  argument_texts.insert(argument_texts.end(), arguments.begin(), arguments.end());
  variables = child_environment(std::move(variables));
  const int result = posix_spawn(
      &pid_,
      program.c_str(),
      options.actions(),
      options.attributes(),
      pointers(argument_texts).data(),
      pointers(variables).data());
  if (result != 0) {
    throw Error(
        ExitStatus::kInternal,
        program.string() + ": cannot be started",
        std::strerror(result),
        "Both programs of prune-sweep belong in one folder.");
  }
}

ChildProcess::~ChildProcess() {
  if (pid_ < 0) return;
  kill();
  // A process inside a driver may not die even of SIGKILL; then it stays behind as a zombie.
  for (int waited_ms = 0; !ended() && waited_ms < kMaxReap_ms; ++waited_ms) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      exit_status_(other.exit_status_),
      ended_(std::move(other.ended_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(exit_status_, other.exit_status_);
  std::swap(ended_, other.ended_);
  return *this;
}

void ChildProcess::kill() {
  if (pid_ >= 0 && !ended_) ::kill(pid_, SIGKILL);
}

std::optional<std::string> ChildProcess::ended() {
  if (ended_) return ended_;
  int status = 0;
  const pid_t reaped = ::waitpid(pid_, &status, WNOHANG);
  if (reaped == 0 || (reaped < 0 && errno == EINTR)) return std::nullopt;
  if (reaped < 0) {
    ended_ = std::string("waitpid: ") + std::strerror(errno);
  } else if (WIFEXITED(status)) {
    exit_status_ = WEXITSTATUS(status);
    ended_ = "exit status " + std::to_string(exit_status_);
  } else {
    const int signal = WTERMSIG(status);
    ended_ = "signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
  }
  return ended_;
}

std::filesystem::path sibling_program(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

EvaluatorProcess start_evaluator(const Place& place) {
  auto [own_end, child_end] = make_channel_pair();
  std::vector<std::string> variables;
  if (place.device) variables.push_back("CUDA_VISIBLE_DEVICES=" + place.device->uuid);
  ChildProcess process(
      sibling_program("prune-sweep-evaluator"),
      {"serve", std::to_string(::getpid())},
      child_end.fd(),
      std::move(variables));
  return {std::move(own_end), std::move(process)};
}

}  // namespace prune_sweep
