#include "prune_sweep/sweep/run_dir.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/host.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

/// Between host and process in a lock file.
constexpr std::string_view kPid = " pid ";
/// A live start writes status.json far more often.
constexpr int kHolderSilence_s = 60;

void write_all(int fd, std::string_view text, const fs::path& path) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno != EINTR) disk_error("write", path.string(), errno);
    if (count > 0) text.remove_prefix(static_cast<size_t>(count));
  }
}

/// Also false where the system does not let us look.
bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// `path`, or the closest folder above it that exists.
fs::path existing_parent(const fs::path& path) {
  fs::path parent = fs::absolute(path);
  while (!is_there(parent) && parent.has_relative_path()) parent = parent.parent_path();
  return parent;
}

bool is_journal_name(const std::string& name) {
  return name.starts_with("journal-") && name.ends_with(".bin");
}

std::optional<timespec> modified(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return info.st_mtim;
}

/// A holder on another host that wrote in the run directory a short while ago; else empty. All
/// times are those of the file system: clocks of hosts differ.
std::string holder_elsewhere(const RunDir& run, int lock_fd) {
  const std::string text = read_text_file(run.lock());
  const size_t host_end = text.find(kPid);
  if (host_end == std::string::npos || text.substr(0, host_end) == host_name()) return {};
  const auto locked = modified(run.lock());
  const auto written = modified(run.status());
  if (::futimens(lock_fd, nullptr) != 0) disk_error("write", run.lock().string(), errno);
  const auto now = modified(run.lock());
  if (!locked || !now) disk_error("read", run.lock().string(), errno);
  const time_t last = std::max(locked->tv_sec, written ? written->tv_sec : 0);
  if (now->tv_sec - last > kHolderSilence_s) return {};
  // Asking is not a sign of the holder's life.
  const std::array<timespec, 2> before{*locked, *locked};
  if (::futimens(lock_fd, before.data()) != 0) disk_error("write", run.lock().string(), errno);
  return printable(text, 200) + ", which was there " + std::to_string(now->tv_sec - last) +
         " s ago; if it is dead, remove " + run.lock().string();
}

/// Locks the open file and writes this process into it. Who has it instead; else empty.
std::string lock_file(const RunDir& run, int fd) {
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) disk_error("lock", run.lock().string(), errno);
    const std::string text = read_text_file(run.lock());
    return text.empty() ? "a process that has just begun" : printable(text, 200);
  }
  const std::string holder = holder_elsewhere(run, fd);
  if (!holder.empty()) return holder;
  if (::ftruncate(fd, 0) != 0) disk_error("write", run.lock().string(), errno);
  write_all(fd, host_name() + std::string(kPid) + std::to_string(::getpid()), run.lock());
  return {};
}

/// What is in a run directory before its job.ini is.
bool is_early_name(const std::string& name) {
  constexpr std::array<std::string_view, 5> kNames{
      "lock", "log", "slurm.json", "submit.sbatch", "submit.ini"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() || is_temporary_name(name) ||
         is_journal_name(name);
}

/// Whether a folder holds only what a start makes before its job.ini: one that was killed early, or
/// is still to come.
bool is_begun_run(const fs::path& path) {
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!is_early_name(entry->path().filename().string())) return false;
  }
  if (error) bad_input(path.string() + ": output.dir cannot be read", error.message());
  return true;
}

}  // namespace

fs::path RunDir::log(int rank) const {
  return path_ / "log" / ("rank-" + std::to_string(rank) + ".jsonl");
}

std::vector<fs::path> RunDir::journals() const {
  std::vector<fs::path> paths;
  std::error_code error;
  if (!fs::is_directory(path_, error)) return paths;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end;
       entry.increment(error)) {
    if (is_journal_name(entry->path().filename().string())) paths.push_back(entry->path());
  }
  if (error) bad_input(path_.string() + ": cannot be read", error.message());
  std::sort(paths.begin(), paths.end());
  return paths;
}

fs::path RunDir::next_journal() const {
  const std::vector<fs::path> existing = journals();
  int number = 1;
  if (!existing.empty()) {
    number += std::atoi(existing.back().stem().string().substr(std::strlen("journal-")).c_str());
  }
  fs::path path;
  do {
    std::array<char, 32> file{};
    std::snprintf(file.data(), file.size(), "journal-%04d.bin", number++);
    path = path_ / file.data();
  } while (fs::exists(path));
  return path;
}

bool RunDir::is_run() const { return is_there(job()); }

void RunDir::require_run() const {
  if (!is_run()) bad_input(path_.string(), "is not a run directory");
}

void RunDir::require_usable() const {
  if (is_there(path_)) {
    if (!fs::is_directory(path_)) bad_input(path_.string(), "output.dir is not a folder");
    if (!is_run() && !is_begun_run(path_)) {
      bad_input(
          path_.string(),
          "output.dir holds files that are not of a run",
          "Name a new or empty folder.");
    }
  }
  const fs::path parent = existing_parent(path_);
  if (!fs::is_directory(parent)) bad_input(parent.string(), "is not a folder");
  if (::access(parent.c_str(), W_OK | X_OK) != 0) {
    bad_input(path_.string() + ": output.dir cannot be written", std::strerror(errno));
  }
  if (is_there(path_)) return;
  // Permissions do not tell everything (root, special file systems): only making a folder does.
  const fs::path probe = parent / (".prune-sweep-probe-" + std::to_string(::getpid()));
  std::error_code error;
  if (!fs::create_directory(probe, error)) {
    bad_input(path_.string() + ": output.dir cannot be made", error.message());
  }
  fs::remove(probe, error);
}

void RunDir::create() const {
  std::error_code error;
  fs::create_directories(path_ / "log", error);
  if (error) disk_error("make", (path_ / "log").string(), error.value());
}

std::string read_text_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::vector<char> chunk(1 << 16);
  while (file) {
    file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    text.append(chunk.data(), static_cast<size_t>(file.gcount()));
  }
  // A file that cannot be opened has no end either.
  if (!file.eof()) bad_input(path.string() + ": cannot be read", std::strerror(errno));
  return text;
}

std::string RunLock::acquire(const RunDir& run) {
  const int fd = ::open(run.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) disk_error("create", run.lock().string(), errno);
  try {
    const std::string holder = lock_file(run, fd);
    if (!holder.empty()) {
      ::close(fd);
      return holder;
    }
  } catch (const Error&) {
    ::close(fd);
    throw;
  }
  fd_ = fd;
  remove_temporary_files(run.path());
  return {};
}

RunLock::RunLock(const RunDir& run) : RunLock() {
  const std::string holder = acquire(run);
  if (holder.empty()) return;
  bad_input(
      run.path().string(),
      "another start is running: " + holder,
      "Wait for it, or name another output.dir.");
}

std::optional<RunLock> RunLock::if_free(const RunDir& run) {
  RunLock lock;
  if (!lock.acquire(run).empty()) return std::nullopt;
  return lock;
}

RunLock::~RunLock() {
  if (fd_ < 0) return;
  // An empty file: nobody's. It cannot matter if that fails.
  if (::ftruncate(fd_, 0) != 0) errno = 0;
  ::close(fd_);
}

}  // namespace prune_sweep
