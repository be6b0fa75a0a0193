#include "prune_sweep/sweep/run_dir.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

std::string holder_text() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return std::string(host.data()) + " pid " + std::to_string(::getpid());
}

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

/// Whether a folder holds only what a start makes before its job.ini: one that was killed early.
bool is_begun_run(const fs::path& path) {
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != "lock" && name != "log" && name != "job.ini.tmp" && !is_journal_name(name))
      return false;
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
  if (!fs::is_directory(path_)) return paths;
  for (const auto& entry : fs::directory_iterator(path_)) {
    if (is_journal_name(entry.path().filename().string())) paths.push_back(entry.path());
  }
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

void write_file_atomically(const fs::path& path, const std::string& text) {
  const fs::path temporary = path.string() + ".tmp";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) disk_error("create", temporary.string(), errno);
  try {
    write_all(fd, text, temporary);
    if (::fsync(fd) != 0) disk_error("write", temporary.string(), errno);
  } catch (const Error&) {
    ::close(fd);
    ::unlink(temporary.c_str());
    throw;
  }
  ::close(fd);
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(temporary.c_str());
    disk_error("rename to", path.string(), error_number);
  }
  const int folder = ::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) disk_error("open", path.parent_path().string(), errno);
  const int synced = ::fsync(folder);
  const int error_number = errno;
  ::close(folder);
  if (synced != 0) disk_error("sync", path.parent_path().string(), error_number);
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

RunLock::RunLock(const RunDir& run) {
  fd_ = ::open(run.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) disk_error("create", run.lock().string(), errno);
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) disk_error("lock", run.lock().string(), errno);
    const std::string holder = read_text_file(run.lock());
    ::close(fd_);
    bad_input(
        run.path().string(),
        "another start is running: " + printable(holder, 200),
        "Wait for it, or name another output.dir.");
  }
  const std::string text = holder_text();
  if (::ftruncate(fd_, 0) != 0) disk_error("write", run.lock().string(), errno);
  write_all(fd_, text, run.lock());
}

RunLock::~RunLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace prune_sweep
