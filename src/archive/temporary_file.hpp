/// \file
/// A file that appears whole or not at all.
#pragma once

#include <filesystem>
#include <string_view>

namespace prune_sweep {

/// A file beside its target, `.NAME.PID.tmp`, that is removed unless it is published. Every failure
/// throws Error (kDisk).
class TemporaryFile {
 public:
  explicit TemporaryFile(std::filesystem::path target);
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile();

  const std::filesystem::path& path() const { return path_; }

  /// Writes the whole content, through to the storage device.
  void write(std::string_view bytes);
  /// Gives the file its target's name, in place of what had it, and syncs the folder.
  void publish();

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
  bool is_published_ = false;
};

}  // namespace prune_sweep
