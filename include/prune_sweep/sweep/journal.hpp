/// \file
/// The journal: append-only, checksummed, one file per start. What it holds is committed; all else
/// can be made again.
///
/// An entry is `magic u32 | length u32 | sequence u64 | type u16 | crc32c u32 | payload`,
/// little-endian; the CRC covers length to type and the payload.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "prune_sweep/core/phases.hpp"
#include "prune_sweep/core/record.hpp"

namespace prune_sweep {

/// First entry of every file: a start of the run.
struct StartEntry {
  std::string run_id;
  std::string command_line;
  std::string program_version;
  double started_s = 0;  ///< seconds since 1970-01-01 UTC
};

/// A worker's evaluator is ready.
struct WorkerEntry {
  int32_t rank = 0;
  std::string host;
  std::string device;
  std::string torch_version;
};

/// A unit's records. Keys make them independent of the plan they were computed under.
struct ResultEntry {
  int32_t unit = 0;
  int32_t attempt = 0;
  int32_t rank = 0;
  double started_s = 0;  ///< seconds since 1970-01-01 UTC
  double elapsed_s = 0;
  BenchmarkKind kind = BenchmarkKind::kMultipleChoice;
  std::vector<std::string> variant_keys;
  std::vector<std::string> question_keys;
  std::vector<Record> records;  // [variants * questions]
  PhaseSeconds phases_s{};      ///< zeros where an earlier program wrote the entry
};

/// An attempt that gave nothing.
struct FailureEntry {
  int32_t unit = 0;
  int32_t attempt = 0;
  int32_t rank = 0;
  double started_s = 0;
  double elapsed_s = 0;
  bool given_up = false;  ///< what was leased is not tried again: a single question
  std::string text;
};

/// A question that fails alone, for the variants it was computed with. Not tried again unless asked
/// for.
struct QuarantineEntry {
  int32_t unit = 0;
  int32_t rank = 0;
  double at_s = 0;  ///< seconds since 1970-01-01 UTC
  std::vector<std::string> variant_keys;
  std::string question_key;
  std::string reason;
};

/// A second result of what was committed already, compared with the first, bytes by bytes.
struct DuplicateEntry {
  int32_t unit = 0;
  int32_t attempt = 0;
  int32_t rank = 0;
  int64_t num_same = 0;  ///< records
  int64_t num_different = 0;
};

/// Values are on disk: append, never renumber.
using JournalEntry = std::
    variant<StartEntry, WorkerEntry, ResultEntry, FailureEntry, QuarantineEntry, DuplicateEntry>;

/// Writes the journal of one start. An error of the disk leaves the journal as it was, so that the
/// caller may try again later: nothing is half-written, and what was appended before is not lost.
class Journal {
 public:
  /// Creates `path`, which must not exist. Throws Error (kDisk).
  static Journal create(const std::filesystem::path& path);
  ~Journal();
  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&&) = delete;

  /// Appends to the file, not yet to the disk. Throws Error (kDisk): then the entry is not there.
  void append(const JournalEntry& entry);
  /// What was appended, by any number of calls, is on the disk when it returns. Throws Error
  /// (kDisk): then the entries are kept, and the next append or commit writes them again, since a
  /// system that could not sync may have dropped them.
  void commit();

  /// The file that is written: another one than was created where that takes nothing any more.
  const std::filesystem::path& path() const { return path_; }

 private:
  Journal(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

  void write_at(uint64_t offset, std::string_view bytes);
  void rewrite_uncommitted();
  void go_on_in_new_file();

  std::filesystem::path path_;
  int fd_;
  uint64_t sequence_ = 0;
  uint64_t committed_bytes_ = 0;  ///< of the file, known to be on the disk
  std::string uncommitted_;       ///< what comes after them
  bool is_suspect_ = false;       ///< the file may hold something else there
};

/// What a journal file holds, and what of it could not be read.
struct Replay {
  std::vector<JournalEntry> entries;
  uint64_t num_damaged_bytes = 0;  ///< skipped in the middle, up to the next whole entry
  uint64_t num_torn_bytes = 0;     ///< at the end: a write that was cut short
};

/// Reads the bytes of a journal file. Never throws: damage is skipped and counted. Takes memory in
/// proportion to the file, whatever lengths stand in it.
Replay replay(std::string_view bytes);

/// One entry as it stands in a file.
std::string journal_bytes(const JournalEntry& entry, uint64_t sequence);

}  // namespace prune_sweep
