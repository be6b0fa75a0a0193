#include "prune_sweep/core/atomic_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kSuffix = ".tmp";

/// Errors name `target`, which the user knows.
class FileDescriptor {
 public:
  FileDescriptor(const fs::path& path, int flags, const fs::path& target) : target_(target) {
    fd_ = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    if (fd_ < 0) disk_error("write", target_.string(), errno);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
      if (count < 0 && errno != EINTR) disk_error("write", target_.string(), errno);
      if (count > 0) bytes.remove_prefix(static_cast<size_t>(count));
    }
  }

  void sync() {
    if (::fsync(fd_) != 0) disk_error("sync", target_.string(), errno);
  }

  void sync_folder() {
    // A file system that cannot sync a folder says EINVAL; there is nothing more to be done there.
    if (::fsync(fd_) != 0 && errno != EINVAL) {
      disk_error("sync the folder of", target_.string(), errno);
    }
  }

  /// A network file system may report a full disk only here.
  void close() {
    if (::close(std::exchange(fd_, -1)) != 0) disk_error("close", target_.string(), errno);
  }

 private:
  fs::path target_;
  int fd_ = -1;
};

fs::path temporary_path(const fs::path& target) {
  return target.parent_path() / ("." + target.filename().string() + "." +
                                 std::to_string(::getpid()) + std::string(kSuffix));
}

/// Gives what is at `from` the name `to`.
void rename_durably(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) disk_error("write", to.string(), errno);
  sync_folder_of(to);
}

}  // namespace

AtomicFile::AtomicFile(fs::path target)
    : target_(std::move(target)), path_(temporary_path(target_)) {}

AtomicFile::~AtomicFile() {
  if (!is_published_) ::unlink(path_.c_str());
}

void AtomicFile::write(std::string_view bytes) {
  write_pieces([bytes](const Sink& sink) { sink(bytes); });
}

void AtomicFile::write_pieces(const std::function<void(const Sink& sink)>& produce) {
  FileDescriptor file(path_, O_WRONLY | O_CREAT | O_TRUNC, target_);
  produce([&file](std::string_view bytes) { file.write(bytes); });
  file.sync();
  file.close();
}

void AtomicFile::publish() {
  rename_durably(path_, target_);
  is_published_ = true;
}

AtomicFolder::AtomicFolder(fs::path target)
    : target_(target.has_filename() ? std::move(target) : target.parent_path()),
      path_(temporary_path(target_)) {
  std::error_code error;
  fs::create_directory(path_, error);
  if (error) disk_error("write", target_.string(), error.value());
}

AtomicFolder::~AtomicFolder() {
  std::error_code error;
  if (!is_published_) fs::remove_all(path_, error);
}

void AtomicFolder::publish() {
  rename_durably(path_, target_);
  is_published_ = true;
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.publish();
}

void sync_folder_of(const fs::path& path) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : ".";
  FileDescriptor(folder, O_RDONLY | O_DIRECTORY, path).sync_folder();
}

bool is_temporary_name(std::string_view name) {
  if (!name.starts_with('.') || !name.ends_with(kSuffix)) return false;
  name.remove_suffix(kSuffix.size());
  const size_t point = name.rfind('.');
  const std::string_view pid = name.substr(point + 1);
  return point > 1 && !pid.empty() &&
         std::all_of(pid.begin(), pid.end(), [](char c) { return c >= '0' && c <= '9'; });
}

void remove_temporary_files(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!is_temporary_name(entry->path().filename().string())) continue;
    if (::unlink(entry->path().c_str()) != 0 && errno != ENOENT) {
      disk_error("remove", entry->path().string(), errno);
    }
  }
  if (error) disk_error("read", folder.string(), error.value());
}

}  // namespace prune_sweep
