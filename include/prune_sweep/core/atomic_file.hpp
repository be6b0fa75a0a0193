/// \file
/// Files that appear whole or not at all, and outlive a crash of the machine. Every failure throws
/// Error (kDisk) that names the target, and leaves what had its name before.
#pragma once

#include <filesystem>
#include <string_view>

namespace prune_sweep {

/// A file beside its target, `.NAME.PID.tmp`, that is removed unless it is published. Only SIGKILL
/// leaves it behind: see remove_temporary_files.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

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

/// Replaces `path` by `text` so that a reader sees the old file or the new one.
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// A new name in the folder of `path` is on the disk when it returns.
void sync_folder_of(const std::filesystem::path& path);

/// Whether an AtomicFile has this file name until it is published.
bool is_temporary_name(std::string_view name);

/// Removes the temporary files in `folder` that killed processes have left. The caller knows that
/// nobody writes there.
void remove_temporary_files(const std::filesystem::path& folder);

}  // namespace prune_sweep
