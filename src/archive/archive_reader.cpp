#include "prune_sweep/archive/archive_reader.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "archive/hdf5.hpp"
#include "prune_sweep/archive/archive.hpp"
#include "prune_sweep/archive/seal.hpp"
#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

/// The paths of the format with a benchmark's name in the place of its kind.
std::string path_in(std::string path, const BenchmarkPlan& benchmark) {
  const std::string kind = "<" + std::string(kind_name(benchmark.kind)) + ">";
  const size_t at = path.find(kind);
  return at == std::string::npos ? "" : path.replace(at, kind.size(), benchmark.name);
}

/// The parts of `[variant, question]`.
std::vector<std::string> names_in(const std::string& shape) {
  std::vector<std::string> names;
  std::string name;
  for (const char letter : shape) {
    if (letter == ',' || letter == ']') names.push_back(std::exchange(name, {}));
    if (std::string_view("[, ]").find(letter) == std::string_view::npos) name += letter;
  }
  return names;
}

std::string folder_of(const std::string& path) {
  return path.substr(0, std::max<size_t>(path.rfind('/'), 1));
}

/// Reads an open archive; its errors name the path in the file, not the file.
class Reader {
 public:
  explicit Reader(const Hdf5Id& file) : file_(file) {}

  ArchiveContent read() {
    require_version();
    Plan plan = read_plan();
    const size_t num_data_sets = check_paths(plan);
    RecordTable records(plan);
    for (size_t b = 0; b < plan.benchmarks.size(); ++b) read_records(plan, b, records);
    std::string state = read_text_attribute(file_, "state");
    const bool is_complete = records.num_records() == plan.num_records();
    if (state != (is_complete ? "complete" : "partial")) {
      bad_input(
          "/@state=" + printable(state),
          std::to_string(records.num_records()) + " of " + std::to_string(plan.num_records()) +
              " records are there");
    }
    return {
        "",
        std::move(state),
        read_text_attribute(file_, "plan_sha256"),
        num_data_sets,
        std::move(plan),
        std::move(records)};
  }

 private:
  void require_version() {
    if (!has_attribute(file_, "format") || read_text_attribute(file_, "format") != "prune-sweep") {
      bad_input("/@format", "is not 'prune-sweep'");
    }
    const int64_t major = read_number_attribute(file_, "format_major");
    if (major != kFormatMajor) {
      bad_input(
          "/@format_major=" + std::to_string(major),
          "this program reads " + std::to_string(kFormatMajor));
    }
  }

  std::vector<std::string> texts(const std::string& path) {
    return read_texts(open_data_set(file_, path));
  }
  template <typename T>
  std::vector<T> numbers(const std::string& path) {
    return read_numbers<T>(open_data_set(file_, path));
  }

  Plan read_plan() {
    Plan plan;
    const auto num_layers = static_cast<int32_t>(read_number_attribute(file_, "num_layers"));
    plan.shape.num_layers = num_layers;
    const auto variant_names = texts("/variants/name");
    const auto edits = texts("/variants/edits");
    for (size_t v = 0; v < std::min(variant_names.size(), edits.size()); ++v) {
      plan.variants.push_back(
          {variant_names[v],
           parse_edits(edits[v], num_layers, MagnitudeScope::kTensor, "/variants/edits")});
    }
    for (const std::string& name : member_names(open_group(file_, "/benchmarks"))) {
      plan.benchmarks.push_back(read_benchmark(name));
    }
    return plan;
  }

  BenchmarkPlan read_benchmark(const std::string& name) {
    const std::string path = "/benchmarks/" + name;
    const Hdf5Id group = open_group(file_, path);
    BenchmarkPlan benchmark{.name = name};
    const std::string kind = read_text_attribute(group, "kind");
    const bool generates = kind == kind_name(BenchmarkKind::kGeneration);
    if (!generates && kind != kind_name(BenchmarkKind::kMultipleChoice)) {
      bad_input(path + "/@kind=" + printable(kind), "is not known");
    }
    benchmark.kind = generates ? BenchmarkKind::kGeneration : BenchmarkKind::kMultipleChoice;
    benchmark.shots = static_cast<int32_t>(read_number_attribute(group, "shots"));
    benchmark.rules = read_text_attribute(group, "rules");
    if (generates) {
      benchmark.max_new_tokens =
          static_cast<int32_t>(read_number_attribute(group, "max_new_tokens"));
    } else {
      benchmark.num_choices = static_cast<int32_t>(numbers<int32_t>(path + "/choice").size());
    }
    read_questions(benchmark, path + "/questions/");
    return benchmark;
  }

  void read_questions(BenchmarkPlan& benchmark, const std::string& path) {
    const auto doc_ids = numbers<int32_t>(path + "doc_id");
    const auto subjects = texts(path + "subject");
    const auto prompts = texts(path + "prompt_sha256");
    const auto tokens = numbers<int32_t>(path + "prompt_tokens");
    std::vector<std::string> golds;
    if (benchmark.kind == BenchmarkKind::kGeneration) {
      golds = texts(path + "gold");
    } else {
      for (const int32_t gold : numbers<int32_t>(path + "gold")) {
        golds.push_back(std::to_string(gold));
      }
    }
    const size_t count = doc_ids.size();
    if (subjects.size() != count || prompts.size() != count || tokens.size() != count ||
        golds.size() != count) {
      bad_input(path, "has columns of different lengths");
    }
    for (size_t q = 0; q < count; ++q) {
      benchmark.questions.push_back({subjects[q], doc_ids[q], golds[q], prompts[q], tokens[q], 0});
    }
  }

  /// All paths of the format, in each benchmark of their kind. Gives the number of data sets.
  size_t check_paths(const Plan& plan) {
    std::vector<std::pair<FormatEntry, std::string>> paths;
    for (const FormatEntry& entry : format_entries()) {
      if (entry.path.find('<') == std::string::npos) paths.emplace_back(entry, entry.path);
      for (const BenchmarkPlan& benchmark : plan.benchmarks) {
        const std::string path = path_in(entry.path, benchmark);
        if (!path.empty()) paths.emplace_back(entry, path);
      }
    }
    // First what is missing: to its neighbours it shows as a scale that cannot be followed.
    for (const auto& [entry, path] : paths) {
      if (path.find('@') == std::string::npos) open_data_set(file_, path);
    }
    size_t num_data_sets = 0;
    for (const auto& [entry, path] : paths) num_data_sets += check_path(entry, path) ? 1 : 0;
    return num_data_sets;
  }

  /// False for an attribute.
  bool check_path(const FormatEntry& entry, const std::string& path) {
    const size_t at = path.find('@');
    if (at != std::string::npos) {
      const Hdf5Id group = open_group(file_, folder_of(path));
      if (!has_attribute(group, path.substr(at + 1))) bad_input(path, "is missing");
      return false;
    }
    const Hdf5Id data_set = open_data_set(file_, path);
    if (data_set_type(data_set) != entry.type) {
      bad_input(path, "is " + data_set_type(data_set) + ", not " + entry.type);
    }
    const std::vector<std::string> names = names_in(entry.shape);
    const std::vector<hsize_t> dims = data_set_dims(data_set);
    if (dims.size() != names.size()) bad_input(path, "is not of shape " + entry.shape);
    for (unsigned i = 0; i < names.size(); ++i) {
      const Hdf5Id scale = find_scale(path, names[i]);
      const bool is_itself = scale.path() == path;
      if (data_set_dims(scale) != std::vector<hsize_t>{dims[i]}) {
        bad_input(path, "is not as long as its scale " + scale.path());
      }
      if (!is_itself && !is_attached(data_set, i, scale)) {
        bad_input(path, "is without its scale " + scale.path());
      }
    }
    return true;
  }

  /// The data set of this name in the group of `path` or the nearest one above it.
  Hdf5Id find_scale(const std::string& path, const std::string& name) {
    for (std::string folder = folder_of(path);; folder = folder_of(folder)) {
      if (has_member(open_group(file_, folder), name)) {
        return open_data_set(file_, (folder == "/" ? "" : folder) + "/" + name);
      }
      if (folder == "/") bad_input(path, "has no scale " + name);
    }
  }

  void read_records(const Plan& plan, size_t b, RecordTable& table) {
    const BenchmarkPlan& benchmark = plan.benchmarks[b];
    const std::string path = "/benchmarks/" + benchmark.name;
    const size_t num_questions = benchmark.questions.size();
    std::vector<Record> records(plan.variants.size() * num_questions);
    for (const Column& column : columns(benchmark.kind)) {
      const std::string column_path = path + "/" + std::string(column.name);
      std::visit(
          [&](auto member) { read_column(column_path, num_questions, member, records); },
          column.member);
    }
    Record missing;
    if (benchmark.kind == BenchmarkKind::kMultipleChoice) {
      missing.loglik.assign(static_cast<size_t>(benchmark.num_choices), std::nanf(""));
    }
    for (size_t i = 0; i < records.size(); ++i) {
      const RecordIndex at{
          static_cast<int32_t>(b),
          static_cast<int32_t>(i / num_questions),
          static_cast<int32_t>(i % num_questions)};
      if (headline_correct(benchmark.kind, records[i]) != kNotEvaluated) {
        table.insert(at, std::move(records[i]));
      } else if (!same_bytes(benchmark.kind, records[i], missing)) {
        bad_input(
            path + " [" + std::to_string(at.variant) + ", " + std::to_string(at.question) + "]",
            "is not evaluated, but has values");
      }
    }
  }

  void read_column(
      const std::string& path,
      size_t,
      std::vector<float> Record::*member,
      std::vector<Record>& records) {
    const auto values = numbers<float>(path);
    const size_t num_choices = records.empty() ? 0 : values.size() / records.size();
    for (size_t i = 0; i < records.size(); ++i) {
      const auto first = values.begin() + static_cast<ptrdiff_t>(i * num_choices);
      (records[i].*member).assign(first, first + static_cast<ptrdiff_t>(num_choices));
    }
  }

  template <typename T>
  void read_column(
      const std::string& path, size_t, T Record::*member, std::vector<Record>& records) {
    const auto values = numbers<T>(path);
    for (size_t i = 0; i < records.size(); ++i) records[i].*member = values[i];
  }

  void read_column(
      const std::string& path,
      size_t num_questions,
      std::string Record::*member,
      std::vector<Record>& records) {
    const auto offsets = numbers<uint64_t>(path + "/offsets");
    const auto bytes = numbers<uint8_t>(path + "/bytes");
    for (size_t i = 0; i < records.size(); ++i) {
      const size_t at = i / num_questions * (num_questions + 1) + i % num_questions;
      if (offsets[at] > offsets[at + 1] || offsets[at + 1] > bytes.size()) {
        bad_input(path + "/offsets", "leads out of the bytes");
      }
      (records[i].*member)
          .assign(
              bytes.begin() + static_cast<ptrdiff_t>(offsets[at]),
              bytes.begin() + static_cast<ptrdiff_t>(offsets[at + 1]));
    }
  }

  const Hdf5Id& file_;
};

}  // namespace

ArchiveContent read_archive(const std::filesystem::path& path) {
  // First of all: HDF5 may crash on a file that was altered.
  const std::string sha256 = require_sealed(path);
  const Hdf5Silence silence;
  try {
    const Hdf5Id file = open_hdf5(path);
    ArchiveContent content = Reader(open_group(file, "/")).read();
    content.sha256 = sha256;
    return content;
  } catch (const Error& error) {
    bad_input(path.string() + ": " + error.what());
  }
}

}  // namespace prune_sweep
