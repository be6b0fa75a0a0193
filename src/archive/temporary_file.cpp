#include "archive/temporary_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

/// Errors name `target`, which the user knows.
class FileDescriptor {
 public:
  FileDescriptor(const fs::path& path, int flags, const fs::path& target) : target_(target) {
    fd_ = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    if (fd_ < 0) disk_error("open", target_.string(), errno);
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
    // A file system that cannot sync a folder says EINVAL; there is nothing more to be done there.
    if (::fsync(fd_) != 0 && errno != EINVAL) disk_error("sync", target_.string(), errno);
  }

  /// A network file system may report a full disk only here.
  void close() {
    if (::close(std::exchange(fd_, -1)) != 0) disk_error("close", target_.string(), errno);
  }

 private:
  fs::path target_;
  int fd_ = -1;
};

}  // namespace

TemporaryFile::TemporaryFile(fs::path target) : target_(std::move(target)) {
  path_ = target_.parent_path() /
          ("." + target_.filename().string() + "." + std::to_string(::getpid()) + ".tmp");
}

TemporaryFile::~TemporaryFile() {
  if (!is_published_) ::unlink(path_.c_str());
}

void TemporaryFile::write(std::string_view bytes) {
  FileDescriptor file(path_, O_WRONLY | O_CREAT | O_TRUNC, target_);
  file.write(bytes);
  file.sync();
  file.close();
}

void TemporaryFile::publish() {
  if (::rename(path_.c_str(), target_.c_str()) != 0) {
    disk_error("write", target_.string(), errno);
  }
  is_published_ = true;
  const fs::path folder = target_.has_parent_path() ? target_.parent_path() : ".";
  FileDescriptor(folder, O_RDONLY | O_DIRECTORY, target_).sync();
}

}  // namespace prune_sweep
