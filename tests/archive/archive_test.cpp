#include "prune_sweep/archive/archive.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "archive/checked_records.hpp"
#include "archive/hdf5_reading.hpp"
#include "archive/sample.hpp"
#include "archive/scratch.hpp"
#include "catch.hpp"

namespace fs = std::filesystem;
using namespace prune_sweep;
using hdf5_reading::File;
using hdf5_reading::numbers;
using hdf5_reading::texts;

namespace {

/// The sample with what must not matter changed, if `other`, and records inserted in another order.
void write_sample_of(const fs::path& path, bool other) {
  const Plan plan = sample::plan();
  RecordTable records(plan);
  std::vector<RecordIndex> places = sample::places(plan);
  if (other) std::reverse(places.begin(), places.end());
  for (const RecordIndex at : places) {
    if (!sample::is_missing(at)) records.insert(at, sample::record(at));
  }
  Provenance provenance = sample::provenance();
  Audit audit = sample::audit();
  if (other) {
    provenance.created_utc = "2031-12-31T23:59:59Z";
    provenance.hosts = {"gamma"};
    audit.units.pop_back();
    audit.units[0].elapsed_s = 17;
  }
  write_archive(path, plan, records, provenance, audit);
}

template <typename T>
std::vector<T> projected(const std::vector<UnitAudit>& units, T UnitAudit::*member) {
  std::vector<T> values;
  for (const UnitAudit& unit : units) values.push_back(unit.*member);
  return values;
}

}  // namespace

TEST_CASE("every column of every record is read back, and missing ones are fill values") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  const RecordTable records = sample::partial_records(plan);
  sample::write(path, plan, records);
  sample::check_records(File(path), plan, records);
}

TEST_CASE("variants, questions and audit are read back") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  sample::write(path, plan, sample::partial_records(plan));
  const File file(path);

  const auto names = texts(file, "/variants/name");
  REQUIRE(names.size() == 40);
  CHECK(names.front() == "baseline");
  CHECK(names.at(1 + 16) == "drop-16");
  CHECK(names.at(38) == "magnitude-90");
  CHECK(texts(file, "/variants/variant") == names);
  CHECK(texts(file, "/benchmarks/mmlu/variant") == names);
  CHECK(texts(file, "/benchmarks/gsm8k/variant") == names);
  const auto edits = texts(file, "/variants/edits");
  CHECK(edits.front().empty());
  CHECK(edits.at(1 + 16) == "16 drop");
  CHECK(edits.at(38) == "0-27 magnitude 90");
  CHECK(edits.at(39) == "0 drop, 27 magnitude 50");

  // A layer of Qwen3-0.6B has 15,730,944 parameters, 15,728,640 of them in linear weights; the
  // model 596,049,920.
  const auto removed = numbers<int64_t>(file, "/variants/num_parameters_removed");
  const auto blocks = numbers<double>(file, "/variants/sparsity_blocks");
  const auto model = numbers<double>(file, "/variants/sparsity_model");
  CHECK(removed.front() == 0);
  CHECK(removed.at(17) == 15'730'944);
  CHECK(removed.at(38) == 0);
  CHECK(blocks.at(17) == 1.0 / 28.0);
  CHECK(blocks.at(38) == 0.9);
  CHECK(blocks.at(39) == 1.5 / 28.0);
  CHECK(model.at(17) == 15'730'944.0 / 596'049'920.0);

  CHECK(texts(file, "/benchmarks/mmlu/questions/subject").at(6) == "abstract_algebra");
  CHECK(texts(file, "/benchmarks/mmlu/questions/subject").at(7) == "anatomy");
  CHECK(texts(file, "/benchmarks/gsm8k/questions/subject") == std::vector<std::string>(10));
  CHECK(numbers<int32_t>(file, "/benchmarks/mmlu/questions/doc_id").at(8) == 1);
  CHECK(numbers<int32_t>(file, "/benchmarks/mmlu/questions/gold").at(7) == 3);
  CHECK(texts(file, "/benchmarks/gsm8k/questions/gold").at(9) == "66");
  CHECK(texts(file, "/benchmarks/mmlu/questions/prompt_sha256").at(5) == sample::hex64(5));
  CHECK(numbers<int32_t>(file, "/benchmarks/gsm8k/questions/prompt_tokens").at(9) == 609);
  CHECK(numbers<int32_t>(file, "/benchmarks/mmlu/question").back() == 11);
  CHECK(numbers<int32_t>(file, "/benchmarks/mmlu/choice") == std::vector<int32_t>{0, 1, 2, 3});
  CHECK(numbers<int32_t>(file, "/benchmarks/gsm8k/boundary").back() == 10);

  const auto units = sample::audit().units;
  CHECK(numbers<int32_t>(file, "/audit/units/unit") == projected(units, &UnitAudit::unit));
  CHECK(numbers<int32_t>(file, "/audit/units/attempt") == projected(units, &UnitAudit::attempt));
  CHECK(numbers<int32_t>(file, "/audit/units/rank") == projected(units, &UnitAudit::rank));
  CHECK(texts(file, "/audit/units/host") == projected(units, &UnitAudit::host));
  CHECK(numbers<double>(file, "/audit/units/started_s") == projected(units, &UnitAudit::started_s));
  CHECK(numbers<double>(file, "/audit/units/elapsed_s") == projected(units, &UnitAudit::elapsed_s));
  CHECK(texts(file, "/audit/units/outcome") == projected(units, &UnitAudit::outcome));
  CHECK(numbers<double>(file, "/audit/units/idle_s") == projected(units, &UnitAudit::idle_s));
  for (size_t phase = 0; phase < kPhases.size(); ++phase) {
    std::vector<double> seconds;
    for (const UnitAudit& unit : units) seconds.push_back(unit.phases_s[phase]);
    CHECK(
        numbers<double>(file, "/audit/units/" + std::string(kPhases[phase].name) + "_s") ==
        seconds);
  }
}

TEST_CASE("a rank is idle from the end of its last unit on, but not between two starts") {
  const auto unit = [](int32_t rank, double started_s, double elapsed_s) {
    UnitAudit audit;
    audit.rank = rank;
    audit.started_s = started_s;
    audit.elapsed_s = elapsed_s;
    return audit;
  };
  // Ranks 0 and 1; the run was started at 0 and at 100. In the order of commits.
  std::vector<UnitAudit> units{
      unit(0, 2, 3), unit(1, 1, 5), unit(0, 6.5, 1), unit(0, 103, 2), unit(1, 100.5, 1)};
  fill_idle(units, {0, 100});
  CHECK(projected(units, &UnitAudit::idle_s) == std::vector<double>{2, 1, 1.5, 3, 0.5});
  // [1, 6], [6.5, 7.5], [100.5, 101.5], [103, 105]
  CHECK(seconds_at_work(units) == 5 + 1 + 1 + 2);
  CHECK(seconds_at_work({}) == 0);
}

TEST_CASE("attributes say what the archive is and where it comes from") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  Provenance provenance = sample::provenance();
  // Longer than the 64 KiB that an attribute of fixed length can have.
  provenance.job.append(100'000, '#');
  write_archive(path, plan, sample::partial_records(plan), provenance, sample::audit());
  const File file(path);
  const auto text = [&](const std::string& name) {
    return hdf5_reading::text_attribute(file.id(), name).at(0);
  };
  CHECK(text("format") == "prune-sweep");
  CHECK(hdf5_reading::number_attribute<int32_t>(file.id(), "format_major") == 1);
  CHECK(hdf5_reading::number_attribute<int32_t>(file.id(), "format_minor") == kFormatMinor);
  CHECK(text("state") == "partial");
  CHECK(text("run_id") == provenance.run_id);
  CHECK(text("plan_sha256") == plan_sha256(plan));
  CHECK(text("model_sha256") == plan.context.model_sha256);
  CHECK(text("tokenizer_sha256") == plan.context.tokenizer_sha256);
  CHECK(text("dtype") == "bfloat16");
  CHECK(hdf5_reading::number_attribute<int32_t>(file.id(), "num_layers") == 28);
  CHECK(hdf5_reading::number_attribute<int64_t>(file.id(), "num_parameters") == 596'049'920);
  CHECK(text("job") == provenance.job);
  CHECK(text("command_line") == provenance.command_line);
  CHECK(text("program_version") == provenance.program_version);
  CHECK(text("git_commit") == provenance.git_commit);
  CHECK(text("torch_version") == provenance.torch_version);
  CHECK(text("device") == provenance.device);
  CHECK(hdf5_reading::text_attribute(file.id(), "hosts") == provenance.hosts);
  CHECK(text("created_utc") == provenance.created_utc);

  const hid_t mmlu = H5Gopen2(file.id(), "/benchmarks/mmlu", H5P_DEFAULT);
  const hid_t gsm8k = H5Gopen2(file.id(), "/benchmarks/gsm8k", H5P_DEFAULT);
  CHECK(hdf5_reading::text_attribute(mmlu, "kind").at(0) == "multiple-choice");
  CHECK(hdf5_reading::text_attribute(mmlu, "rules").at(0) == "rules of MMLU");
  CHECK(hdf5_reading::text_attribute(gsm8k, "kind").at(0) == "generation");
  CHECK(hdf5_reading::number_attribute<int32_t>(gsm8k, "shots") == 5);
  CHECK(hdf5_reading::number_attribute<int32_t>(gsm8k, "max_new_tokens") == 256);
  const hid_t audit = H5Gopen2(file.id(), "/audit", H5P_DEFAULT);
  CHECK(hdf5_reading::number_attribute<int64_t>(audit, "num_duplicates_compared") == 3);
  CHECK(hdf5_reading::number_attribute<int64_t>(audit, "num_duplicates_different") == 0);
}

TEST_CASE("an archive is complete when no record is missing") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  RecordTable records(plan);
  for (const RecordIndex at : sample::places(plan)) records.insert(at, sample::record(at));
  sample::write(path, plan, records);
  const File file(path);
  CHECK(hdf5_reading::text_attribute(file.id(), "state").at(0) == "complete");
  sample::check_records(file, plan, records);
}

TEST_CASE("records are cut by variant, compressed and guarded by checksums") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  sample::write(path, plan, sample::partial_records(plan));
  const File file(path);
  const hid_t creation =
      H5Dget_create_plist(hdf5_reading::data_set(file, "/benchmarks/mmlu/loglik"));
  hsize_t chunk[3] = {};
  REQUIRE(H5Pget_chunk(creation, 3, chunk) == 3);
  CHECK(std::vector<hsize_t>(chunk, chunk + 3) == std::vector<hsize_t>{1, 12, 4});
  std::vector<H5Z_filter_t> filters;
  for (unsigned i = 0; i < static_cast<unsigned>(H5Pget_nfilters(creation)); ++i) {
    unsigned flags = 0;
    size_t count = 0;
    filters.push_back(H5Pget_filter2(creation, i, &flags, &count, nullptr, 0, nullptr, nullptr));
  }
  CHECK(
      filters ==
      std::vector<H5Z_filter_t>{H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE, H5Z_FILTER_FLETCHER32});
}

TEST_CASE("what a missing number is, the archive says twice") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  sample::write(path, plan, RecordTable(plan));
  const File file(path);
  const std::vector<std::pair<std::string, double>> cases{
      {"/benchmarks/mmlu/loglik", std::nan("")},
      {"/benchmarks/mmlu/correct", 255},
      {"/benchmarks/mmlu/greedy", 255},
      {"/benchmarks/gsm8k/strict_correct", 255},
      {"/benchmarks/gsm8k/flexible_correct", 255},
      {"/benchmarks/gsm8k/generated_tokens", -1},
      {"/benchmarks/gsm8k/stop", 255}};
  for (const auto& [name, missing] : cases) {
    CAPTURE(name);
    const hid_t id = hdf5_reading::data_set(file, name);
    double fill = 0;
    H5Pget_fill_value(H5Dget_create_plist(id), H5T_NATIVE_DOUBLE, &fill);
    const auto attribute = hdf5_reading::number_attribute<double>(id, "_FillValue");
    CHECK((std::isnan(missing) ? std::isnan(fill) : fill == missing));
    CHECK((std::isnan(missing) ? std::isnan(attribute) : attribute == missing));
  }
}

TEST_CASE("a plan without variants, benchmarks, questions or texts makes a readable archive") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const auto check_readable = [&](const Plan& plan, const RecordTable& records) {
    write_archive(path, plan, records, {}, {});
    const File file(path);
    int num_data_sets = 0;
    hdf5_reading::walk(file.id(), "/", [&](const std::string& at, hid_t object) {
      if (H5Iget_type(object) != H5I_DATASET) return;
      CAPTURE(at);
      ++num_data_sets;
      CHECK_NOTHROW(hdf5_reading::bytes(file, at));
    });
    CHECK(hdf5_reading::text_attribute(file.id(), "hosts").empty());
    CHECK(hdf5_reading::text_attribute(file.id(), "run_id").at(0).empty());
    return num_data_sets;
  };
  const PlanContext context{"", "", DType::kFloat32, "cpu"};
  const ModelShape shape = sample::qwen3_shape();

  SECTION("nothing at all") {
    const Plan plan = make_plan(context, shape, {}, {});
    CHECK(check_readable(plan, RecordTable(plan)) == 26);
  }
  SECTION("no variants") {
    const Plan plan = make_plan(context, shape, {}, {sample::mmlu(), sample::gsm8k()});
    check_readable(plan, RecordTable(plan));
    CHECK(
        hdf5_reading::dims(File(path), "/benchmarks/mmlu/loglik") ==
        std::vector<hsize_t>{0, 12, 4});
  }
  SECTION("no questions") {
    BenchmarkPlan mmlu = sample::mmlu();
    BenchmarkPlan gsm8k = sample::gsm8k();
    mmlu.questions.clear();
    gsm8k.questions.clear();
    const Plan plan = make_plan(context, shape, sample::variants(), {mmlu, gsm8k});
    check_readable(plan, RecordTable(plan));
    CHECK(
        hdf5_reading::dims(File(path), "/benchmarks/gsm8k/response/offsets") ==
        std::vector<hsize_t>{40, 1});
  }
  SECTION("no records, so no texts") {
    const Plan plan = sample::plan();
    const RecordTable records(plan);
    check_readable(plan, records);
    sample::check_records(File(path), plan, records);
  }
}

TEST_CASE("texts keep every byte, and so do numbers without a usual value") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  RecordTable records(plan);
  Record odd = sample::gsm8k_record(0, 0);
  odd.response = std::string("nul \0 and \xff\xfe, not UTF-8", 23);
  odd.generated_tokens = std::numeric_limits<int32_t>::max();
  records.insert({sample::kGsm8k, 0, 0}, odd);
  Record few = sample::mmlu_record(0, 0);
  few.loglik = {-0.0F, -std::numeric_limits<float>::infinity(), 1e-45F, -3.25F};
  records.insert({sample::kMmlu, 0, 0}, few);
  sample::write(path, plan, records);
  sample::check_records(File(path), plan, records);
}

TEST_CASE("a question with fewer choices than its benchmark has NaN for the others") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  RecordTable records(plan);
  Record few = sample::mmlu_record(0, 0);
  few.loglik = {-1.0F, -2.0F};
  records.insert({sample::kMmlu, 0, 0}, few);
  sample::write(path, plan, records);
  const auto loglik = numbers<float>(File(path), "/benchmarks/mmlu/loglik");
  CHECK(loglik.at(1) == -2.0F);
  CHECK(std::isnan(loglik.at(2)));
  CHECK(std::isnan(loglik.at(3)));
}

TEST_CASE("equal content gives equal bytes") {
  const Scratch scratch;
  write_sample_of(scratch.path() / "a.h5", false);
  ::usleep(1'100'000);  // HDF5's time stamps count seconds
  write_sample_of(scratch.path() / "b.h5", false);
  CHECK((bytes_of(scratch.path() / "a.h5") == bytes_of(scratch.path() / "b.h5")));
}

TEST_CASE("outside /audit no data set depends on time, hosts or the order of records") {
  const Scratch scratch;
  write_sample_of(scratch.path() / "a.h5", false);
  write_sample_of(scratch.path() / "b.h5", true);
  const File a(scratch.path() / "a.h5");
  const File b(scratch.path() / "b.h5");
  int num_compared = 0;
  hdf5_reading::walk(a.id(), "/", [&](const std::string& at, hid_t object) {
    if (H5Iget_type(object) != H5I_DATASET || at.starts_with("/audit")) return;
    CAPTURE(at);
    ++num_compared;
    CHECK(hdf5_reading::bytes(a, at) == hdf5_reading::bytes(b, at));
  });
  CHECK(num_compared == 52);
}

TEST_CASE("the archive of format 1.0 that is kept has the numbers that it was made of") {
  const Plan plan = sample::plan();
  const RecordTable records = sample::partial_records(plan);
  const File file(fs::path(PRUNE_SWEEP_SOURCE_DIR) / "tests" / "data" / "archive-1.0.h5");
  CHECK(hdf5_reading::number_attribute<int32_t>(file.id(), "format_major") == 1);
  CHECK(hdf5_reading::number_attribute<int32_t>(file.id(), "format_minor") == 0);
  sample::check_records(file, plan, records);
}

// How tests/data/archive-1.0.h5 was made; a file of a released format is never made again.
TEST_CASE("the sample is written to $PRUNE_SWEEP_SAMPLE_ARCHIVE", "[.]") {
  const char* path = std::getenv("PRUNE_SWEEP_SAMPLE_ARCHIVE");
  REQUIRE(path != nullptr);
  const Plan plan = sample::plan();
  sample::write(path, plan, sample::partial_records(plan));
}
