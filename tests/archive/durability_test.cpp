#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include "archive/checked_records.hpp"
#include "archive/hdf5_reading.hpp"
#include "archive/sample.hpp"
#include "archive/scratch.hpp"
#include "catch.hpp"
#include "prune_sweep/archive/archive.hpp"
#include "prune_sweep/core/check.hpp"

namespace fs = std::filesystem;
using namespace prune_sweep;
using hdf5_reading::File;

TEST_CASE("a storage without room is an error, and leaves the old archive as it was") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  sample::write(path, plan, RecordTable(plan));
  const std::string old = bytes_of(path);
  const RecordTable records = sample::partial_records(plan);
  sample::write(scratch.path() / "whole.h5", plan, records);
  const auto size = static_cast<rlim_t>(fs::file_size(scratch.path() / "whole.h5"));
  fs::remove(scratch.path() / "whole.h5");

  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  std::string problem;
  for (const rlim_t room : {rlim_t{0}, rlim_t{1}, rlim_t{4096}, size / 2, size - 1}) {
    const rlimit tiny{room, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &tiny) == 0);
    std::string what = "no error";
    try {
      sample::write(path, plan, records);
    } catch (const Error& error) {
      what = error.status() == ExitStatus::kDisk ? error.what() : "another error";
    }
    // Catch2 may write to a file: first give the room back.
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    CAPTURE(room);
    CHECK_THAT(what, ContainsSubstring("/archive.h5: cannot write (File too large)"));
    CHECK((bytes_of(path) == old));
    CHECK(names_in(scratch.path()) == std::vector<std::string>{"archive.h5"});
  }
  std::signal(SIGXFSZ, handler);

  sample::write(path, plan, records);
  sample::check_records(File(path), plan, records);
}

TEST_CASE("a place where no archive can be is an error that names it") {
  const Scratch scratch;
  const Plan plan = sample::plan();
  const RecordTable records(plan);
  fs::create_directories(scratch.path() / "folder.h5" / "full");
  std::ofstream(scratch.path() / "file") << "x";
  for (const char* place : {"nowhere/archive.h5", "folder.h5", "file/archive.h5"}) {
    CAPTURE(place);
    const fs::path path = scratch.path() / place;
    std::string what = "no error";
    try {
      sample::write(path, plan, records);
    } catch (const Error& error) {
      what = error.what();
      CHECK(error.status() == ExitStatus::kDisk);
    }
    CHECK_THAT(what, ContainsSubstring(path.filename().string()));
    CHECK(names_in(scratch.path()).size() == 2);
  }
}

TEST_CASE("a path without a folder is in the working directory") {
  const Scratch scratch;
  const fs::path before = fs::current_path();
  fs::current_path(scratch.path());
  const Plan plan = sample::plan();
  sample::write("archive.h5", plan, RecordTable(plan));
  fs::current_path(before);
  CHECK(names_in(scratch.path()) == std::vector<std::string>{"archive.h5"});
}

TEST_CASE("a writer that is killed leaves the old archive or the new one") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  const RecordTable records = sample::partial_records(plan);
  sample::write(path, plan, records);
  const std::string whole = bytes_of(path);
  std::mt19937 random(1);
  int num_torn_temporaries = 0;
  for (int kill = 0; kill < 20; ++kill) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (;;) sample::write(path, plan, records);
    }
    ::usleep(1000 + random() % 30'000);
    REQUIRE(::kill(child, SIGKILL) == 0);
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    CHECK((bytes_of(path) == whole));
    for (const std::string& name : names_in(scratch.path())) {
      if (name.ends_with(".tmp")) {
        ++num_torn_temporaries;
        fs::remove(scratch.path() / name);
      }
    }
  }
  INFO("temporary files left by a kill: " << num_torn_temporaries);
  CHECK(fs::exists(path));
}

TEST_CASE("a changed byte in the data is an error of the reader, not another number") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  sample::write(path, plan, sample::partial_records(plan));
  haddr_t address = 0;
  {
    const File file(path);
    const hid_t id = hdf5_reading::data_set(file, "/benchmarks/mmlu/loglik");
    const hsize_t third[3] = {2, 0, 0};
    hsize_t size = 0;
    unsigned mask = 0;
    REQUIRE(H5Dget_chunk_info_by_coord(id, third, &mask, &address, &size) >= 0);
    REQUIRE(size > 20);
  }
  std::string bytes = bytes_of(path);
  bytes.at(address + 10) = static_cast<char>(bytes.at(address + 10) ^ 0x10);
  std::ofstream(path, std::ios::binary) << bytes;
  H5E_auto2_t print = nullptr;
  void* data = nullptr;
  H5Eget_auto2(H5E_DEFAULT, &print, &data);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  CHECK_THROWS(hdf5_reading::numbers<float>(File(path), "/benchmarks/mmlu/loglik"));
  H5Eset_auto2(H5E_DEFAULT, print, data);
  CHECK_NOTHROW(hdf5_reading::numbers<uint8_t>(File(path), "/benchmarks/mmlu/correct"));
}
