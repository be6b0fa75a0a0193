#include "prune_sweep/sweep/journal.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "prune_sweep/core/atomic_file.hpp"
#include "prune_sweep/core/bytes.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/sweep/run_dir.hpp"

namespace prune_sweep {

namespace {

constexpr uint32_t kMagic = 0x4a57'5350;  // "PSWJ" in the file
constexpr size_t kHeaderBytes = 4 + 4 + 8 + 2 + 4;

void put(ByteWriter& writer, const StartEntry& e) {
  writer.put(std::string_view(e.run_id)).put(std::string_view(e.command_line));
  writer.put(std::string_view(e.program_version)).put(e.started_s);
}
void put(ByteWriter& writer, const WorkerEntry& e) {
  writer.put(e.rank).put(std::string_view(e.host));
  writer.put(std::string_view(e.device)).put(std::string_view(e.torch_version));
}
void put(ByteWriter& writer, const ResultEntry& e) {
  writer.put(e.unit).put(e.attempt).put(e.rank).put(e.started_s).put(e.elapsed_s).put(e.kind);
  writer.put(e.variant_keys).put(e.question_keys);
  for (const Record& record : e.records) put_record(writer, e.kind, record);
  for (const double seconds : e.phases_s) writer.put(seconds);
}
void put(ByteWriter& writer, const FailureEntry& e) {
  writer.put(e.unit).put(e.attempt).put(e.rank).put(e.started_s).put(e.elapsed_s);
  writer.put(e.given_up).put(std::string_view(e.text));
}
void put(ByteWriter& writer, const QuarantineEntry& e) {
  writer.put(e.unit).put(e.rank).put(e.at_s).put(e.variant_keys);
  writer.put(std::string_view(e.question_key)).put(std::string_view(e.reason));
}
void put(ByteWriter& writer, const DuplicateEntry& e) {
  writer.put(e.unit).put(e.attempt).put(e.rank).put(e.num_same).put(e.num_different);
}

StartEntry get_start(ByteReader& reader) {
  StartEntry e;
  e.run_id = reader.get<std::string>();
  e.command_line = reader.get<std::string>();
  e.program_version = reader.get<std::string>();
  e.started_s = reader.get<double>();
  return e;
}
WorkerEntry get_worker(ByteReader& reader) {
  WorkerEntry e;
  e.rank = reader.get<int32_t>();
  e.host = reader.get<std::string>();
  e.device = reader.get<std::string>();
  e.torch_version = reader.get<std::string>();
  return e;
}
ResultEntry get_result(ByteReader& reader) {
  ResultEntry e;
  e.unit = reader.get<int32_t>();
  e.attempt = reader.get<int32_t>();
  e.rank = reader.get<int32_t>();
  e.started_s = reader.get<double>();
  e.elapsed_s = reader.get<double>();
  e.kind = reader.get<BenchmarkKind>();
  e.variant_keys = reader.get<std::vector<std::string>>();
  e.question_keys = reader.get<std::vector<std::string>>();
  const size_t count = e.variant_keys.size() * e.question_keys.size();
  // A record takes a byte at least: a count that cannot be must not take time or memory.
  if (count > reader.num_bytes_left()) throw Error(ExitStatus::kInternal, "too many records");
  for (size_t i = 0; i < count; ++i) e.records.push_back(get_record(reader, e.kind));
  for (double& seconds : e.phases_s) {
    if (reader.at_end()) break;
    seconds = reader.get<double>();
  }
  return e;
}
FailureEntry get_failure(ByteReader& reader) {
  FailureEntry e;
  e.unit = reader.get<int32_t>();
  e.attempt = reader.get<int32_t>();
  e.rank = reader.get<int32_t>();
  e.started_s = reader.get<double>();
  e.elapsed_s = reader.get<double>();
  e.given_up = reader.get<bool>();
  e.text = reader.get<std::string>();
  return e;
}
QuarantineEntry get_quarantine(ByteReader& reader) {
  QuarantineEntry e;
  e.unit = reader.get<int32_t>();
  e.rank = reader.get<int32_t>();
  e.at_s = reader.get<double>();
  e.variant_keys = reader.get<std::vector<std::string>>();
  e.question_key = reader.get<std::string>();
  e.reason = reader.get<std::string>();
  return e;
}
DuplicateEntry get_duplicate(ByteReader& reader) {
  DuplicateEntry e;
  e.unit = reader.get<int32_t>();
  e.attempt = reader.get<int32_t>();
  e.rank = reader.get<int32_t>();
  e.num_same = reader.get<int64_t>();
  e.num_different = reader.get<int64_t>();
  return e;
}

std::optional<JournalEntry> get_entry(uint16_t type, ByteReader& reader) {
  switch (type) {
    case 0:
      return get_start(reader);
    case 1:
      return get_worker(reader);
    case 2:
      return get_result(reader);
    case 3:
      return get_failure(reader);
    case 4:
      return get_quarantine(reader);
    case 5:
      return get_duplicate(reader);
    default:
      return std::nullopt;
  }
}

int open_new(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) disk_error("create", path.string(), errno);
  return fd;
}

std::string header_fields(uint32_t length, uint64_t sequence, uint16_t type) {
  return ByteWriter().put(length).put(sequence).put(type).take();
}

/// The entry that begins at the front of `bytes`, and its size; nothing when it is not whole and
/// sound.
struct Parsed {
  JournalEntry entry;
  size_t num_bytes;
};
std::optional<Parsed> parse_front(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes) return std::nullopt;
  ByteReader header(bytes);
  if (header.get<uint32_t>() != kMagic) return std::nullopt;
  const auto length = header.get<uint32_t>();
  const auto sequence = header.get<uint64_t>();
  const auto type = header.get<uint16_t>();
  const auto crc = header.get<uint32_t>();
  if (length > bytes.size() - kHeaderBytes) return std::nullopt;
  const std::string_view payload = bytes.substr(kHeaderBytes, length);
  if (crc32c(header_fields(length, sequence, type).append(payload)) != crc) return std::nullopt;
  try {
    ByteReader reader(payload);
    auto entry = get_entry(type, reader);
    if (!entry || !reader.at_end()) return std::nullopt;
    return Parsed{std::move(*entry), kHeaderBytes + length};
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

std::string journal_bytes(const JournalEntry& entry, uint64_t sequence) {
  ByteWriter payload_writer;
  std::visit([&](const auto& alternative) { put(payload_writer, alternative); }, entry);
  const std::string payload = payload_writer.take();
  const std::string fields = header_fields(
      static_cast<uint32_t>(payload.size()), sequence, static_cast<uint16_t>(entry.index()));
  const uint32_t crc = crc32c(fields + payload);
  return ByteWriter().put(kMagic).take() + fields + ByteWriter().put(crc).take() + payload;
}

Journal Journal::create(const std::filesystem::path& path) {
  Journal journal(path, open_new(path));
  sync_folder_of(path);
  return journal;
}

Journal::~Journal() {
  if (fd_ >= 0) ::close(fd_);
}

Journal::Journal(Journal&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      sequence_(other.sequence_),
      committed_bytes_(other.committed_bytes_),
      uncommitted_(std::move(other.uncommitted_)),
      is_suspect_(other.is_suspect_) {}

void Journal::write_at(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno != EINTR) disk_error("append", path_.string(), errno);
    if (count <= 0) continue;
    offset += static_cast<uint64_t>(count);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

void Journal::append(const JournalEntry& entry) {
  rewrite_uncommitted();
  const std::string bytes = journal_bytes(entry, sequence_);
  const uint64_t end = committed_bytes_ + uncommitted_.size();
  try {
    write_at(end, bytes);
  } catch (const Error&) {
    is_suspect_ = ::ftruncate(fd_, static_cast<off_t>(end)) != 0;
    throw;
  }
  uncommitted_ += bytes;
  ++sequence_;
}

void Journal::commit() {
  rewrite_uncommitted();
  if (::fdatasync(fd_) != 0) {
    is_suspect_ = true;
    disk_error("commit", path_.string(), errno);
  }
  committed_bytes_ += uncommitted_.size();
  uncommitted_.clear();
}

void Journal::rewrite_uncommitted() {
  if (!is_suspect_) return;
  try {
    if (::ftruncate(fd_, static_cast<off_t>(committed_bytes_)) != 0) {
      disk_error("shorten", path_.string(), errno);
    }
    write_at(committed_bytes_, uncommitted_);
  } catch (const Error&) {
    go_on_in_new_file();
  }
  is_suspect_ = false;
}

void Journal::go_on_in_new_file() {
  Journal next = create(RunDir(path_.parent_path()).next_journal());
  try {
    next.write_at(0, uncommitted_);
  } catch (const Error&) {
    ::unlink(next.path_.c_str());
    throw;
  }
  spdlog::warn("{}: takes nothing any more; goes on in {}", path_.string(), next.path_.string());
  std::swap(path_, next.path_);
  std::swap(fd_, next.fd_);
  committed_bytes_ = 0;
}

Replay replay(std::string_view bytes) {
  const std::string magic = ByteWriter().put(kMagic).take();
  Replay result;
  uint64_t skipped = 0;
  while (!bytes.empty()) {
    if (auto parsed = parse_front(bytes)) {
      result.entries.push_back(std::move(parsed->entry));
      result.num_damaged_bytes += std::exchange(skipped, 0);
      bytes.remove_prefix(parsed->num_bytes);
      continue;
    }
    const size_t next = std::min(bytes.find(magic, 1), bytes.size());
    skipped += next;
    bytes.remove_prefix(next);
  }
  result.num_torn_bytes = skipped;
  return result;
}

}  // namespace prune_sweep
