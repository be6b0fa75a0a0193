#include <fstream>
#include <random>

#include "archive/sample.hpp"
#include "archive/scratch.hpp"
#include "catch.hpp"
#include "core/message_of.hpp"
#include "prune_sweep/archive/archive_reader.hpp"
#include "prune_sweep/archive/seal.hpp"
#include "prune_sweep/core/digest.hpp"

namespace fs = std::filesystem;
using namespace prune_sweep;

namespace {

void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// The sample archive in a folder of its own.
struct SampleArchive {
  SampleArchive() { sample::write(path, plan, records); }

  Scratch scratch;
  fs::path path = scratch.path() / "archive.h5";
  Plan plan = sample::plan();
  RecordTable records = sample::partial_records(plan);
};

}  // namespace

TEST_CASE("a seal is the SHA-256 of what is before it, in plain text") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "file";
  // FIPS 180-4's example.
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  CHECK(seal_of("abc") == "prune-sweep sha256: " + abc + "\n");
  for (const std::string& bytes : {std::string(), std::string("abc"), std::string(200'000, 'x')}) {
    write_bytes(path, bytes + seal_of(bytes));
    CHECK(require_sealed(path) == sha256_hex(bytes));
  }
}

TEST_CASE("a file without a seal, or with more after it, is refused by name") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const std::string seal = seal_of("abc");
  for (const std::string& bytes :
       {std::string(),
        std::string("abc"),
        "abc" + seal.substr(0, seal.size() - 1),
        "abc" + seal + "x",
        "abc" + seal + seal,
        "abcd" + seal,
        "ab" + seal,
        seal}) {
    write_bytes(path, bytes);
    CHECK_THAT(
        refusal_of([&] { require_sealed(path); }),
        ContainsSubstring(path.string()) && ContainsSubstring("altered"));
  }
  CHECK_THAT(
      refusal_of([&] { require_sealed(scratch.path() / "no"); }),
      ContainsSubstring("cannot be read"));
  CHECK_THAT(
      refusal_of([&] { require_sealed(scratch.path()); }), ContainsSubstring("cannot be read"));
}

TEST_CASE("any altered byte of an archive is found") {
  SampleArchive archive;
  const std::string whole = bytes_of(archive.path);
  std::vector<size_t> places(4096);
  for (size_t i = 0; i < places.size(); ++i) places[i] = i;
  for (size_t i = 1; i <= 85; ++i) places.push_back(whole.size() - i);
  std::mt19937 random(3);
  for (int i = 0; i < 1000; ++i) places.push_back(random() % whole.size());
  int num_found = 0;
  for (const size_t place : places) {
    std::string altered = whole;
    altered[place] = static_cast<char>(altered[place] ^ (1 << random() % 8));
    write_bytes(archive.path, altered);
    try {
      require_sealed(archive.path);
    } catch (const Error& error) {
      num_found += error.status() == ExitStatus::kBadInput ? 1 : 0;
    }
  }
  CHECK(num_found == static_cast<int>(places.size()));
}

TEST_CASE("an archive is read back as it was written") {
  SampleArchive archive;
  const ArchiveContent content = read_archive(archive.path);
  CHECK(content.state == "partial");
  CHECK(content.plan_sha256 == plan_sha256(archive.plan));
  CHECK(content.num_data_sets > 40);
  REQUIRE(content.plan.variants.size() == archive.plan.variants.size());
  for (size_t v = 0; v < content.plan.variants.size(); ++v) {
    CHECK(content.plan.variants[v].name == archive.plan.variants[v].name);
    CHECK(content.plan.variants[v].edits == archive.plan.variants[v].edits);
  }
  REQUIRE(content.plan.benchmarks.size() == 2);
  for (size_t b = 0; b < 2; ++b) {
    const BenchmarkPlan& read = content.plan.benchmarks[b];
    const BenchmarkPlan& written = archive.plan.benchmarks[b];
    CHECK(read.name == written.name);
    CHECK(read.kind == written.kind);
    CHECK(read.num_choices == written.num_choices);
    CHECK(read.max_new_tokens == written.max_new_tokens);
    CHECK(read.rules == written.rules);
    REQUIRE(read.questions.size() == written.questions.size());
    for (size_t q = 0; q < read.questions.size(); ++q) {
      CHECK(question_key(read, read.questions[q]) == question_key(written, written.questions[q]));
    }
  }
  CHECK(content.records.num_records() == archive.records.num_records());
  for (const RecordIndex at : sample::places(archive.plan)) {
    const Record* written = archive.records.find(at);
    const Record* read = content.records.find(at);
    REQUIRE((written == nullptr) == (read == nullptr));
    if (written != nullptr) CHECK(*read == *written);
  }
}

TEST_CASE("the archive of format 1.0 that was made before there were seals has none") {
  const fs::path path = fs::path(PRUNE_SWEEP_SOURCE_DIR) / "tests/data/archive-1.0.h5";
  CHECK_THAT(refusal_of([&] { read_archive(path); }), ContainsSubstring("seal is not at its end"));
}

TEST_CASE("a sealed file that is no archive is refused without a crash") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  for (const std::string& bytes : {std::string(), std::string("text"), std::string(5000, '\0')}) {
    write_bytes(path, bytes + seal_of(bytes));
    CHECK_THAT(refusal_of([&] { read_archive(path); }), ContainsSubstring("cannot open"));
  }
}
