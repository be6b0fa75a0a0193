#include "prune_sweep/core/atomic_file.hpp"

#include <fstream>
#include <sstream>
#include <thread>

#include "core/message_of.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace fs = std::filesystem;

namespace {

std::string read_text_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("a file written atomically is the whole new one, and nothing is left beside it") {
  const TempDir dir;
  const fs::path path = dir.path() / "status.json";
  write_file_atomically(path, "first");
  CHECK(read_text_file(path) == "first");
  write_file_atomically(path, std::string(3'000'000, 'x'));
  CHECK(read_text_file(path).size() == 3'000'000);
  write_file_atomically(path, "");
  CHECK(read_text_file(path).empty());
  CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 1);
}

TEST_CASE("a reader sees the old file or the new one") {
  const TempDir dir;
  const fs::path path = dir.path() / "status.json";
  const std::string a(100'000, 'a');
  const std::string b(200'000, 'b');
  write_file_atomically(path, a);
  std::thread writer([&] {
    for (int i = 0; i < 50; ++i) write_file_atomically(path, i % 2 == 0 ? b : a);
  });
  bool only_whole_files = true;
  for (int i = 0; i < 200; ++i) {
    const std::string text = read_text_file(path);
    only_whole_files = only_whole_files && (text == a || text == b);
  }
  writer.join();
  CHECK(only_whole_files);
}

TEST_CASE("a file that cannot be written is an error of the disk that leaves the old one") {
  const TempDir dir;
  CHECK(error_of([&] {
          write_file_atomically(dir.path() / "no" / "x", "text");
        }).status() == ExitStatus::kDisk);
  dir.write("folder/inside", "x");
  const Error error = error_of([&] { write_file_atomically(dir.path() / "folder", "text"); });
  CHECK(error.status() == ExitStatus::kDisk);
  CHECK_THAT(error.what(), ContainsSubstring((dir.path() / "folder").string()));
  CHECK(fs::exists(dir.path() / "folder" / "inside"));
  CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 1);
}

TEST_CASE("a file that is not published leaves nothing") {
  const TempDir dir;
  const fs::path path = dir.write("archive.h5", "old");
  {
    AtomicFile file(path);
    file.write("new");
    CHECK(is_temporary_name(file.path().filename().string()));
    CHECK(read_text_file(file.path()) == "new");
  }
  CHECK(read_text_file(path) == "old");
  CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 1);
}

TEST_CASE("only names that an atomic file gives are removed") {
  for (const char* name : {".archive.h5.17.tmp", ".x.1.tmp", ".a.b.c.22.tmp"}) {
    CAPTURE(name);
    CHECK(is_temporary_name(name));
  }
  for (const char* name :
       {"", ".tmp", "..tmp", ".1.tmp", "x.1.tmp", ".x.tmp", ".x.1a.tmp", ".x..tmp", ".x.1.tmp2"}) {
    CAPTURE(name);
    CHECK_FALSE(is_temporary_name(name));
  }
  const TempDir dir;
  dir.write(".archive.h5.17.tmp", "x");
  dir.write("notes.tmp", "x");
  fs::create_directories(dir.path() / "log");
  remove_temporary_files(dir.path());
  CHECK_FALSE(fs::exists(dir.path() / ".archive.h5.17.tmp"));
  CHECK(fs::exists(dir.path() / "notes.tmp"));
  CHECK(error_of([&] { remove_temporary_files(dir.path() / "no"); }).status() == ExitStatus::kDisk);
}

TEST_CASE("a file written in pieces is all of them, and none when they cannot be made") {
  const TempDir dir;
  {
    AtomicFile file(dir.path() / "whole");
    file.write_pieces([](const AtomicFile::Sink& sink) {
      for (const char* piece : {"one ", "", "two"}) sink(piece);
    });
    file.publish();
  }
  CHECK(read_text_file(dir.path() / "whole") == "one two");
  AtomicFile file(dir.path() / "whole");
  CHECK_THROWS(file.write_pieces([](const AtomicFile::Sink& sink) {
    sink("half");
    throw std::runtime_error("no more");
  }));
  CHECK(read_text_file(dir.path() / "whole") == "one two");
}

TEST_CASE("a folder has its name when it is published, and is gone when it is not") {
  const TempDir dir;
  fs::create_directory(dir.path() / "empty");
  for (const char* name : {"new", "new-too/", "empty"}) {
    AtomicFolder folder(dir.path() / name);
    write_file_atomically(folder.path() / "inside", name);
    CHECK(is_temporary_name(folder.path().filename().string()));
    folder.publish();
    CHECK(read_text_file(dir.path() / name / "inside") == name);
  }
  {
    AtomicFolder folder(dir.path() / "never");
    write_file_atomically(folder.path() / "inside", "text");
  }
  CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 3);
  AtomicFolder folder(dir.path() / "new");
  const Error error = error_of([&] { folder.publish(); });
  CHECK(error.status() == ExitStatus::kDisk);
}
