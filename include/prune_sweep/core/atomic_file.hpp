/// \file
/// Files and folders that appear whole or not at all, and outlive a crash of the machine. Every
/// failure throws Error (kDisk) that names the target, and leaves what had its name before.
#pragma once

#include <filesystem>
#include <functional>
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
  /// The same for content that is too large to be in memory at once: `produce` hands its pieces to
  /// the sink, in order.
  using Sink = std::function<void(std::string_view bytes)>;
  void write_pieces(const std::function<void(const Sink& sink)>& produce);
  /// Gives the file its target's name, in place of what had it, and syncs the folder.
  void publish();

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
  bool is_published_ = false;
};

/// A folder beside its target, named as an AtomicFile is, that is removed with all that is in it
/// unless it is published.
class AtomicFolder {
 public:
  /// The target's parent must be there; the target itself may be an empty folder.
  explicit AtomicFolder(std::filesystem::path target);
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;
  ~AtomicFolder();

  const std::filesystem::path& path() const { return path_; }

  /// Gives the folder its target's name.
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
