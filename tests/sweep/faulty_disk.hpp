/// \file
/// A disk that refuses: while a FaultyDisk lives, the system calls that journals are written with
/// fail as it says. The functions below stand before those of the C library. One test program
/// includes this, in one file.
#pragma once

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string>

struct FaultyDisk {
  FaultyDisk() { current = this; }
  ~FaultyDisk() { current = nullptr; }
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;

  int64_t num_bytes_left = -1;  ///< negative: as many as there are
  int num_syncs_to_fail = 0;
  bool cannot_truncate = false;
  std::filesystem::path sick_path;  ///< writing and truncating fail only here; empty: everywhere

  bool is_sick(int fd) const {
    if (sick_path.empty()) return true;
    std::error_code error;
    return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error) == sick_path;
  }

  inline static FaultyDisk* current = nullptr;
};

extern "C" ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) {
  FaultyDisk* disk = FaultyDisk::current;
  if (disk != nullptr && disk->num_bytes_left >= 0 && disk->is_sick(fd)) {
    if (disk->num_bytes_left == 0) {
      errno = ENOSPC;
      return -1;
    }
    count = std::min(count, static_cast<size_t>(disk->num_bytes_left));
    disk->num_bytes_left -= static_cast<int64_t>(count);
  }
  return ::syscall(SYS_pwrite64, fd, bytes, count, offset);
}

extern "C" int ftruncate(int fd, off_t size) noexcept {
  const FaultyDisk* disk = FaultyDisk::current;
  if (disk != nullptr && disk->cannot_truncate && disk->is_sick(fd)) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_ftruncate, fd, size));
}

extern "C" int fdatasync(int fd) {
  FaultyDisk* disk = FaultyDisk::current;
  if (disk != nullptr && disk->num_syncs_to_fail > 0) {
    --disk->num_syncs_to_fail;
    errno = EIO;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
