#include "prune_sweep/sweep/journal.hpp"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <sstream>

#include "core/message_of.hpp"
#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/sweep/run_dir.hpp"
#include "sweep/faulty_disk.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace {

/// `magic u32 | length u32 | sequence u64 | type u16 | crc32c u32`
constexpr size_t kHeaderBytes = 22;

ResultEntry choice_result(int32_t unit) {
  Record record;
  record.loglik = {-1.5f, std::numeric_limits<float>::quiet_NaN()};
  record.correct = 1;
  record.greedy = 2;
  return {
      unit,
      1,
      3,
      100.5,
      2.25,
      BenchmarkKind::kMultipleChoice,
      {"v1", "v2"},
      {"q1"},
      {record, Record{}},
      {0.25, 1, 0, 0.5, 0.125}};
}

ResultEntry answer_result(int32_t unit) {
  Record record;
  record.strict_correct = 1;
  record.generated_tokens = 5;
  // A text that looks like the beginning of an entry.
  record.response = std::string("PSWJ\x01\0\0\0", 8);
  return {unit, 2, 0, 7, 8, BenchmarkKind::kGeneration, {"v"}, {"q1", "q2"}, {record, Record{}}};
}

std::vector<JournalEntry> sample_entries() {
  return {
      StartEntry{"run", "prune-sweep job.ini", "0.1.0", 1.5},
      WorkerEntry{3, "host", "cpu", "2.11.0"},
      choice_result(4),
      FailureEntry{5, 2, 3, 10, 0.5, true, "signal 9 (Killed)"},
      answer_result(6),
      FailureEntry{},
  };
}

/// The bytes of a file with `entries`, and where each of them begins; the last place is the end.
struct File {
  std::string bytes;
  std::vector<size_t> begins;
};
File file_of(const std::vector<JournalEntry>& entries) {
  File file;
  for (const JournalEntry& entry : entries) {
    file.begins.push_back(file.bytes.size());
    file.bytes += journal_bytes(entry, file.begins.size() - 1);
  }
  file.begins.push_back(file.bytes.size());
  return file;
}

/// Entries as texts that are equal when all their fields are.
std::vector<std::string> texts(const std::vector<JournalEntry>& entries) {
  std::vector<std::string> list;
  for (const JournalEntry& entry : entries) list.push_back(journal_bytes(entry, 0));
  return list;
}

std::vector<std::string> without(std::vector<std::string> list, size_t index) {
  list.erase(list.begin() + static_cast<ptrdiff_t>(index));
  return list;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

/// While it lives, files may not grow beyond `max_bytes`, and trying gives an errno and no signal.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t max_bytes) {
    handler_before_ = std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    const rlimit limit{max_bytes, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_before_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_before_)(int) = nullptr;
};

/// While it lives, warnings that a test asks for are not printed.
struct SilentLog {
  SilentLog() { spdlog::set_level(spdlog::level::off); }
  ~SilentLog() { spdlog::set_level(spdlog::level::info); }
};

}  // namespace

TEST_CASE("entries come back with all their fields") {
  const Replay back = replay(file_of(sample_entries()).bytes);
  CHECK(back.num_damaged_bytes == 0);
  CHECK(back.num_torn_bytes == 0);
  REQUIRE(back.entries.size() == 6);

  const auto& start = std::get<StartEntry>(back.entries[0]);
  CHECK(start.run_id == "run");
  CHECK(start.command_line == "prune-sweep job.ini");
  CHECK(start.program_version == "0.1.0");
  CHECK(start.started_s == 1.5);

  const auto& worker = std::get<WorkerEntry>(back.entries[1]);
  CHECK(worker.rank == 3);
  CHECK(worker.host == "host");
  CHECK(worker.device == "cpu");
  CHECK(worker.torch_version == "2.11.0");

  const auto& choices = std::get<ResultEntry>(back.entries[2]);
  CHECK(choices.unit == 4);
  CHECK(choices.attempt == 1);
  CHECK(choices.rank == 3);
  CHECK(choices.started_s == 100.5);
  CHECK(choices.elapsed_s == 2.25);
  CHECK(choices.kind == BenchmarkKind::kMultipleChoice);
  CHECK(choices.variant_keys == std::vector<std::string>{"v1", "v2"});
  CHECK(choices.question_keys == std::vector<std::string>{"q1"});
  REQUIRE(choices.records.size() == 2);
  CHECK(choices.records[0].loglik[0] == -1.5f);
  CHECK(std::isnan(choices.records[0].loglik[1]));
  CHECK(choices.records[0].greedy == 2);
  CHECK(choices.records[1] == Record{});

  const auto& failure = std::get<FailureEntry>(back.entries[3]);
  CHECK(failure.unit == 5);
  CHECK(failure.attempt == 2);
  CHECK(failure.rank == 3);
  CHECK(failure.started_s == 10);
  CHECK(failure.elapsed_s == 0.5);
  CHECK(failure.given_up);
  CHECK(failure.text == "signal 9 (Killed)");

  const auto& answers = std::get<ResultEntry>(back.entries[4]);
  CHECK(answers.kind == BenchmarkKind::kGeneration);
  CHECK(answers.records == answer_result(6).records);
  CHECK_FALSE(std::get<FailureEntry>(back.entries[5]).given_up);
}

TEST_CASE("an entry stands in the file as the header says") {
  const std::string bytes = journal_bytes(WorkerEntry{3, "h", "cpu", ""}, 7);
  CHECK(bytes.substr(0, 4) == "PSWJ");
  const uint32_t payload = 4 + (4 + 1) + (4 + 3) + 4;
  REQUIRE(bytes.size() == kHeaderBytes + payload);
  uint32_t length = 0;
  uint64_t sequence = 0;
  uint16_t type = 0;
  std::memcpy(&length, &bytes[4], sizeof length);
  std::memcpy(&sequence, &bytes[8], sizeof sequence);
  std::memcpy(&type, &bytes[16], sizeof type);
  CHECK(length == payload);
  CHECK(sequence == 7);
  CHECK(type == 1);
}

TEST_CASE("what is appended and committed is read back from the file") {
  const TempDir dir;
  const auto path = dir.path() / "journal-0001.bin";
  const auto entries = sample_entries();
  {
    Journal journal = Journal::create(path);
    for (const JournalEntry& entry : entries) {
      journal.append(entry);
      journal.commit();
    }
    Journal moved = std::move(journal);
    moved.append(entries[0]);
    moved.commit();
  }
  auto expected = entries;
  expected.push_back(entries[0]);
  CHECK(read_file(path) == file_of(expected).bytes);
  CHECK(texts(replay(read_file(path)).entries) == texts(expected));
}

TEST_CASE("what was appended outlives a process that is killed at once") {
  const TempDir dir;
  const auto path = dir.path() / "journal-0001.bin";
  Journal journal = Journal::create(path);
  journal.append(sample_entries()[0]);
  journal.append(sample_entries()[2]);
  // Nothing is kept in the process: the file has it before the journal is closed.
  CHECK(replay(read_file(path)).entries.size() == 2);
}

TEST_CASE("a journal never writes over a file") {
  const TempDir dir;
  const auto path = dir.write("journal-0001.bin", "kept");
  const Error error = error_of([&] { Journal::create(path); });
  CHECK(error.status() == ExitStatus::kDisk);
  CHECK_THAT(error.what(), ContainsSubstring(path.string()) && ContainsSubstring("File exists"));
  CHECK(read_file(path) == "kept");
  CHECK(error_of([&] { Journal::create(dir.path() / "no" / "x"); }).status() == ExitStatus::kDisk);
}

TEST_CASE("a disk that takes no more is an error of the disk, and what was whole stays readable") {
  const TempDir dir;
  const auto path = dir.path() / "journal-0001.bin";
  const auto entry = sample_entries()[2];
  const size_t entry_bytes = journal_bytes(entry, 0).size();
  Journal journal = Journal::create(path);
  size_t num_appended = 0;
  {
    const FileSizeLimit limit(10 * entry_bytes + entry_bytes / 2);
    const Error error = error_of([&] {
      for (; num_appended < 1000; ++num_appended) {
        journal.append(entry);
        journal.commit();
      }
    });
    CHECK(error.status() == ExitStatus::kDisk);
    CHECK_THAT(error.what(), ContainsSubstring(path.string()) && ContainsSubstring("append"));
  }
  CHECK(num_appended == 10);
  CHECK(replay(read_file(path)).entries.size() == 10);
  CHECK(read_file(path).size() == 10 * entry_bytes);
  // With room again the journal goes on as if nothing had been.
  journal.append(entry);
  journal.commit();
  const Replay back = replay(read_file(path));
  CHECK(back.entries.size() == 11);
  CHECK(back.num_damaged_bytes + back.num_torn_bytes == 0);
}

TEST_CASE("entries that a failed sync may have dropped are written again") {
  const TempDir dir;
  const auto path = dir.path() / "journal-0001.bin";
  const auto entries = sample_entries();
  Journal journal = Journal::create(path);
  journal.append(entries[0]);
  journal.commit();
  journal.append(entries[1]);
  journal.append(entries[2]);
  const std::string whole = read_file(path);
  {
    FaultyDisk disk;
    disk.num_syncs_to_fail = 1;
    const Error error = error_of([&] { journal.commit(); });
    CHECK(error.status() == ExitStatus::kDisk);
    CHECK_THAT(error.what(), ContainsSubstring(path.string()) && ContainsSubstring("commit"));
  }
  // What Linux does with pages that it could not write.
  const size_t committed = journal_bytes(entries[0], 0).size();
  std::filesystem::resize_file(path, committed);
  std::filesystem::resize_file(path, whole.size());
  journal.commit();
  CHECK(read_file(path) == whole);
}

TEST_CASE("a file that takes nothing any more is followed by another") {
  const TempDir dir;
  const auto path = dir.path() / "journal-0001.bin";
  const SilentLog silent;
  const auto entries = sample_entries();
  Journal journal = Journal::create(path);
  journal.append(entries[0]);
  journal.commit();
  journal.append(entries[1]);
  {
    FaultyDisk disk;
    disk.num_bytes_left = 5;
    disk.cannot_truncate = true;
    disk.sick_path = path;
    CHECK(error_of([&] { journal.append(entries[2]); }).status() == ExitStatus::kDisk);
    journal.append(entries[2]);
    journal.commit();
  }
  CHECK(journal.path() == dir.path() / "journal-0002.bin");
  const Replay first = replay(read_file(path));
  CHECK(first.num_torn_bytes == 5);
  CHECK(texts(first.entries) == texts({entries[0], entries[1]}));
  // The entry that was not committed stands in both.
  const Replay second = replay(read_file(journal.path()));
  CHECK(second.num_damaged_bytes + second.num_torn_bytes == 0);
  CHECK(texts(second.entries) == texts({entries[1], entries[2]}));
}

TEST_CASE("whatever the disk refuses, what was taken is there when it is committed, in its order") {
  const SilentLog silent;
  std::mt19937 random(5);
  int num_commits = 0;
  int num_refusals = 0;
  for (int trial = 0; trial < 100; ++trial) {
    const TempDir dir;
    Journal journal = Journal::create(dir.path() / "journal-0001.bin");
    int32_t num_taken = 0;
    for (int step = 0; step < 20; ++step) {
      CAPTURE(trial, step);
      bool is_committed = true;
      {
        FaultyDisk disk;
        if (random() % 3 == 0) disk.num_bytes_left = static_cast<int64_t>(random() % 400);
        disk.cannot_truncate = random() % 4 == 0;
        disk.num_syncs_to_fail = static_cast<int>(random() % 3 == 0);
        try {
          for (size_t count = random() % 4; count > 0; --count) {
            journal.append(choice_result(num_taken));
            ++num_taken;
          }
          journal.commit();
        } catch (const Error&) {
          is_committed = false;
        }
      }
      ++(is_committed ? num_commits : num_refusals);
      if (!is_committed) continue;
      // Entries at the end of a file that was given up may stand in the next one again.
      std::set<int32_t> units;
      for (const auto& path : RunDir(dir.path()).journals()) {
        for (const JournalEntry& entry : replay(read_file(path)).entries) {
          const int32_t unit = std::get<ResultEntry>(entry).unit;
          REQUIRE(unit <= std::ssize(units));
          units.insert(unit);
        }
      }
      REQUIRE(std::ssize(units) == num_taken);
    }
  }
  CHECK(num_commits > 100);
  CHECK(num_refusals > 100);
}

TEST_CASE("lengths that a hostile file claims cost neither memory nor time") {
  // A sound entry that promises a million records and has none.
  ResultEntry entry = choice_result(1);
  entry.records.clear();
  entry.variant_keys.assign(1000, "");
  entry.question_keys.assign(1000, "");
  const Replay result = replay(journal_bytes(entry, 0));
  CHECK(result.entries.empty());
  CHECK(result.num_torn_bytes > 0);
  // A header that promises 4 GiB.
  std::string bytes = journal_bytes(choice_result(1), 0);
  bytes.replace(4, 4, "\xff\xff\xff\xff");
  CHECK(replay(bytes).entries.empty());
}

TEST_CASE("results that were written before there were phases are read") {
  const ResultEntry entry = choice_result(1);
  // `length` and `crc32c` of the header are made anew for the shorter payload.
  const std::string whole = journal_bytes(entry, 0);
  const std::string payload = whole.substr(kHeaderBytes, whole.size() - kHeaderBytes - 5 * 8);
  const auto length = static_cast<uint32_t>(payload.size());
  const std::string fields = ByteWriter().put(length).take() + whole.substr(8, 10);
  const std::string old =
      whole.substr(0, 4) + fields + ByteWriter().put(crc32c(fields + payload)).take() + payload;
  const Replay result = replay(old);
  REQUIRE(result.entries.size() == 1);
  const auto& read = std::get<ResultEntry>(result.entries.front());
  CHECK(read.records == entry.records);
  CHECK(read.phases_s == PhaseSeconds{});
  CHECK(std::get<ResultEntry>(replay(whole).entries.front()).phases_s == entry.phases_s);
}

TEST_CASE("an empty file, and one without any entry, hold nothing") {
  CHECK(replay("").entries.empty());
  CHECK(replay("").num_torn_bytes == 0);
  for (const std::string& bytes :
       {std::string("x"),
        std::string("PSWJ"),
        std::string(10'000, '\0'),
        std::string(3000, 'P'),
        std::string("PSWJPSWJPSWJPSWJPSWJPSWJPSWJPSWJ")}) {
    const Replay result = replay(bytes);
    CHECK(result.entries.empty());
    CHECK(result.num_torn_bytes == bytes.size());
    CHECK(result.num_damaged_bytes == 0);
  }
}

TEST_CASE("a file cut at any byte gives its whole entries, and the rest is torn") {
  const auto entries = sample_entries();
  const File file = file_of(entries);
  for (size_t size = 0; size <= file.bytes.size(); ++size) {
    CAPTURE(size);
    size_t whole = 0;
    while (whole < entries.size() && file.begins[whole + 1] <= size) ++whole;
    const Replay result = replay(std::string_view(file.bytes).substr(0, size));
    REQUIRE(
        texts(result.entries) ==
        texts({entries.begin(), entries.begin() + static_cast<ptrdiff_t>(whole)}));
    REQUIRE(result.num_torn_bytes == size - file.begins[whole]);
    REQUIRE(result.num_damaged_bytes == 0);
  }
}

TEST_CASE("one flipped bit costs the entry it is in and no other") {
  const auto entries = sample_entries();
  const File file = file_of(entries);
  const auto all = texts(entries);
  for (size_t bit = 0; bit < 8 * file.bytes.size(); ++bit) {
    CAPTURE(bit);
    std::string damaged = file.bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    size_t hit = 0;
    while (file.begins[hit + 1] <= bit / 8) ++hit;
    const uint64_t hit_bytes = file.begins[hit + 1] - file.begins[hit];
    const bool is_last = hit + 1 == entries.size();
    const Replay result = replay(damaged);
    REQUIRE(texts(result.entries) == without(all, hit));
    REQUIRE(result.num_damaged_bytes == (is_last ? 0 : hit_bytes));
    REQUIRE(result.num_torn_bytes == (is_last ? hit_bytes : 0));
  }
}

TEST_CASE("reading goes on after a damaged middle, which is counted byte by byte") {
  const auto entries = sample_entries();
  const File file = file_of(entries);
  const std::string garbage(777, '\x5a');
  // Between entries 1 and 2, and in the place of entry 3.
  std::string damaged = file.bytes.substr(0, file.begins[2]) + garbage +
                        file.bytes.substr(file.begins[2], file.begins[3] - file.begins[2]) +
                        file.bytes.substr(file.begins[3] + 1);
  const Replay result = replay(damaged);
  CHECK(texts(result.entries) == without(texts(entries), 3));
  CHECK(result.num_damaged_bytes == garbage.size() + file.begins[4] - file.begins[3] - 1);
  CHECK(result.num_torn_bytes == 0);
}

TEST_CASE("blocks of zeros cost the entries they touch") {
  std::vector<JournalEntry> entries;
  for (int32_t i = 0; i < 40; ++i)
    entries.push_back(i % 2 == 0 ? choice_result(i) : answer_result(i));
  const File file = file_of(entries);
  const auto all = texts(entries);
  for (const size_t block : {size_t{1}, size_t{16}, size_t{64}, size_t{512}}) {
    for (size_t begin = 0; begin + block <= file.bytes.size(); begin += block) {
      CAPTURE(block, begin);
      std::string damaged = file.bytes;
      damaged.replace(begin, block, block, '\0');
      std::vector<std::string> expected;
      uint64_t lost = 0;
      for (size_t i = 0; i < entries.size(); ++i) {
        const size_t size = file.begins[i + 1] - file.begins[i];
        // Zeros over zeros are no damage.
        if (damaged.compare(file.begins[i], size, file.bytes, file.begins[i], size) == 0) {
          expected.push_back(all[i]);
        } else {
          lost += size;
        }
      }
      const Replay result = replay(damaged);
      REQUIRE(texts(result.entries) == expected);
      REQUIRE(result.num_damaged_bytes + result.num_torn_bytes == lost);
    }
  }
  // A file system that lost the end of the file after growing it.
  const Replay result = replay(file.bytes + std::string(4096, '\0'));
  CHECK(texts(result.entries) == all);
  CHECK(result.num_torn_bytes == 4096);
}

TEST_CASE(
    "any damage gives only entries that were written, in their order, and every byte is counted") {
  const auto entries = sample_entries();
  const File file = file_of(entries);
  const auto all = texts(entries);
  std::mt19937 random(17);
  for (int trial = 0; trial < 20'000; ++trial) {
    std::string damaged = file.bytes;
    for (size_t change = 0; change < 1 + random() % 3; ++change) {
      const size_t at = random() % damaged.size();
      const size_t count = 1 + random() % 60;
      switch (random() % 4) {
        case 0:
          damaged.erase(at, count);
          break;
        case 1:
          damaged.insert(at, std::string(count, static_cast<char>(random())));
          break;
        // A piece of the file, so short that it makes no second copy of an entry with what is
        // there.
        case 2:
          damaged.insert(at, file.bytes.substr(random() % file.bytes.size(), count % 20));
          break;
        default:
          damaged[at] = static_cast<char>(random());
      }
      if (damaged.empty()) damaged = "P";
    }
    const Replay result = replay(damaged);
    uint64_t read = 0;
    size_t next = 0;
    for (const std::string& text : texts(result.entries)) {
      while (next < all.size() && all[next] != text) ++next;
      REQUIRE(next < all.size());
      ++next;
      read += text.size();
    }
    REQUIRE(read + result.num_damaged_bytes + result.num_torn_bytes == damaged.size());
  }
}

TEST_CASE("an entry whose CRC is right and whose content is not is skipped") {
  // An entry of a type that is not known, as a later program might write it.
  const File file = file_of({WorkerEntry{1, "a", "b", "c"}, WorkerEntry{2, "a", "b", "c"}});
  std::string unknown = journal_bytes(WorkerEntry{1, "a", "b", "c"}, 0);
  for (const uint16_t type : {uint16_t{0}, uint16_t{2}, uint16_t{3}, uint16_t{9}}) {
    std::string bytes = unknown;
    std::memcpy(&bytes[16], &type, sizeof type);
    const uint32_t crc = crc32c(bytes.substr(4, 14) + bytes.substr(kHeaderBytes));
    std::memcpy(&bytes[18], &crc, sizeof crc);
    const Replay result = replay(bytes + file.bytes);
    CHECK(texts(result.entries) == texts(replay(file.bytes).entries));
    CHECK(result.num_damaged_bytes == bytes.size());
  }
}
