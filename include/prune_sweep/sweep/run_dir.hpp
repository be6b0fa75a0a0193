/// \file
/// The run directory: every path of a run in one place, and who may write there.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "prune_sweep/core/atomic_file.hpp"

namespace prune_sweep {

class RunDir {
 public:
  explicit RunDir(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path job() const { return path_ / "job.ini"; }
  std::filesystem::path plan() const { return path_ / "plan.json"; }
  std::filesystem::path archive() const { return path_ / "archive.h5"; }
  std::filesystem::path status() const { return path_ / "status.json"; }
  std::filesystem::path done() const { return path_ / "DONE"; }
  std::filesystem::path lock() const { return path_ / "lock"; }
  std::filesystem::path slurm() const { return path_ / "slurm.json"; }
  /// The script and the job that `submit` gave to SLURM.
  std::filesystem::path script() const { return path_ / "submit.sbatch"; }
  std::filesystem::path submitted_job() const { return path_ / "submit.ini"; }
  std::filesystem::path log(int rank) const;

  /// The journal files, oldest first.
  std::vector<std::filesystem::path> journals() const;
  /// The name of the next one, after all there are: journal-0001.bin, journal-0002.bin, ...
  std::filesystem::path next_journal() const;

  /// Whether a run was started here.
  bool is_run() const;
  /// Throws Error (kBadInput) unless it was.
  void require_run() const;

  /// Throws Error (kBadInput) unless a run can be made or resumed here: a folder that holds
  /// something else, or a parent that cannot be written, is refused. Makes nothing.
  void require_usable() const;
  /// Makes the folder and its log folder. Throws Error (kDisk).
  void create() const;

 private:
  std::filesystem::path path_;
};

/// Throws Error (kBadInput) naming the file when it cannot be read.
std::string read_text_file(const std::filesystem::path& path);

/// Holds a run directory against a second start, and has removed the temporary files that a killed
/// one left. The lock ends with the process, however that ends. Where file locks do not reach from
/// host to host, a holder elsewhere is known by its name in the lock file, and is taken for dead
/// when neither that nor status.json was written for a minute.
class RunLock {
 public:
  /// Throws Error (kBadInput) naming host and pid of the holder; Error (kDisk) where files cannot
  /// be locked.
  explicit RunLock(const RunDir& run);
  /// The lock, or nothing while another process holds it.
  static std::optional<RunLock> if_free(const RunDir& run);
  RunLock(RunLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RunLock& operator=(RunLock&&) = delete;
  ~RunLock();

 private:
  RunLock() = default;
  /// Why the lock cannot be had: empty once it is held.
  std::string acquire(const RunDir& run);

  int fd_ = -1;
};

}  // namespace prune_sweep
