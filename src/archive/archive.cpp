#include "prune_sweep/archive/archive.hpp"

#include <charconv>
#include <functional>
#include <limits>
#include <stdexcept>

#include "archive/archive_group.hpp"
#include "archive/hdf5.hpp"
#include "prune_sweep/archive/seal.hpp"
#include "prune_sweep/core/atomic_file.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/signs.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

/// Reasons of failures come from anywhere.
constexpr size_t kMaxOutcomeBytes = 1000;

/// The same member, or function, of every element.
template <typename Range, typename Projection>
auto each(const Range& range, Projection projection) {
  using Value = std::remove_cvref_t<decltype(std::invoke(projection, *range.begin()))>;
  std::vector<Value> values;
  values.reserve(range.size());
  for (const auto& element : range) values.push_back(std::invoke(projection, element));
  return values;
}

void write_root_attributes(
    ArchiveGroup& root,
    const Plan& plan,
    const RecordTable& records,
    const Provenance& provenance) {
  const bool is_complete = records.num_records() == plan.num_records();
  root.attribute("format", std::string("prune-sweep"));
  root.attribute("format_major", kFormatMajor);
  root.attribute("format_minor", kFormatMinor);
  root.attribute("state", std::string(is_complete ? "complete" : "partial"));
  root.attribute("run_id", provenance.run_id);
  root.attribute("plan_sha256", plan_sha256(plan));
  root.attribute("model_sha256", plan.context.model_sha256);
  root.attribute("tokenizer_sha256", plan.context.tokenizer_sha256);
  root.attribute("dtype", std::string(name(plan.context.dtype)));
  root.attribute("num_layers", plan.shape.num_layers);
  root.attribute("num_parameters", plan.shape.num_parameters);
  root.attribute("job", provenance.job);
  root.attribute("command_line", provenance.command_line);
  root.attribute("program_version", provenance.program_version);
  root.attribute("git_commit", provenance.git_commit);
  root.attribute("torch_version", provenance.torch_version);
  root.attribute("device", provenance.device);
  root.attribute("hosts", provenance.hosts);
  root.attribute("created_utc", provenance.created_utc);
}

void write_variants(ArchiveGroup group, const Plan& plan) {
  const auto sizes =
      each(plan.variants, [&](const Variant& variant) { return variant_size(plan, variant); });
  const auto names = each(plan.variants, &Variant::name);
  group.scale("variant", names);
  group.column("name", names);
  group.column("edits", each(plan.variants, [](const Variant& variant) {
                 return edits_text(variant.edits);
               }));
  group.column("num_parameters_removed", each(sizes, &VariantSize::num_parameters_removed));
  group.column("sparsity_blocks", each(sizes, &VariantSize::sparsity_blocks));
  group.column("sparsity_model", each(sizes, &VariantSize::sparsity_model));
}

int32_t gold_choice(const QuestionInfo& question) {
  const std::string& text = question.gold;
  int32_t choice = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), choice);
  if (error != std::errc{} || end != text.data() + text.size()) {
    throw std::logic_error("the gold choice '" + printable(text) + "' is not an index");
  }
  return choice;
}

void write_questions(ArchiveGroup group, const BenchmarkPlan& benchmark) {
  const auto& questions = benchmark.questions;
  group.column("subject", each(questions, &QuestionInfo::subject));
  group.column("doc_id", each(questions, &QuestionInfo::doc_id));
  if (benchmark.kind == BenchmarkKind::kMultipleChoice) {
    group.column("gold", each(questions, gold_choice));
  } else {
    group.column("gold", each(questions, &QuestionInfo::gold));
    group.column("gold_tokens", each(questions, &QuestionInfo::gold_tokens));
  }
  group.column("prompt_sha256", each(questions, &QuestionInfo::prompt_sha256));
  group.column("prompt_tokens", each(questions, &QuestionInfo::prompt_tokens));
}

/// The records of one benchmark in the order of the archive: by variant, then by question.
class BenchmarkRecords {
 public:
  BenchmarkRecords(const Plan& plan, const RecordTable& records, int32_t benchmark)
      : plan_(plan), records_(records), benchmark_(benchmark) {}

  const BenchmarkPlan& benchmark() const {
    return plan_.benchmarks.at(static_cast<size_t>(benchmark_));
  }

  /// Calls `visit(record)` with nullptr for a record that is missing.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (int32_t variant = 0; variant < static_cast<int32_t>(plan_.variants.size()); ++variant) {
      for_each_of(variant, visit);
    }
  }
  template <typename Visit>
  void for_each_of(int32_t variant, Visit visit) const {
    const auto num_questions = static_cast<int32_t>(benchmark().questions.size());
    for (int32_t question = 0; question < num_questions; ++question) {
      visit(records_.find({benchmark_, variant, question}));
    }
  }

  size_t num_variants() const { return plan_.variants.size(); }

  /// [variants]
  std::vector<AnswerShares> shares() const {
    std::vector<AnswerShares> all;
    for (int32_t variant = 0; variant < static_cast<int32_t>(plan_.variants.size()); ++variant) {
      all.push_back(answer_shares(plan_, records_, benchmark_, variant));
    }
    return all;
  }

 private:
  const Plan& plan_;
  const RecordTable& records_;
  int32_t benchmark_;
};

/// Writes one column of the records; one overload for each type that a column can have.
struct ColumnWriter {
  ArchiveGroup& group;
  std::string name;
  const BenchmarkRecords& records;

  void operator()(std::vector<float> Record::*member) const {
    constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
    const auto num_choices = static_cast<size_t>(records.benchmark().num_choices);
    std::vector<float> values;  // [variants * questions * choices]
    records.for_each([&](const Record* record) {
      const size_t end = values.size() + num_choices;
      if (record != nullptr) {
        const std::vector<float>& choices = record->*member;
        if (choices.size() > num_choices) throw std::logic_error(name + " has too many choices");
        values.insert(values.end(), choices.begin(), choices.end());
      }
      values.resize(end, kMissing);
    });
    group.column<float>(name, values, kMissing);
  }

  void operator()(uint8_t Record::*member) const { write_numbers(member, kNotEvaluated); }
  void operator()(int32_t Record::*member) const { write_numbers(member, -1); }
  void operator()(float Record::*member) const {
    write_numbers(member, std::numeric_limits<float>::quiet_NaN());
  }

  void operator()(std::string Record::*member) const {
    std::vector<uint64_t> offsets;  // [variants, questions + 1]
    std::vector<uint8_t> bytes;
    for (size_t variant = 0; variant < records.num_variants(); ++variant) {
      offsets.push_back(bytes.size());
      records.for_each_of(static_cast<int32_t>(variant), [&](const Record* record) {
        if (record != nullptr) {
          const std::string& text = record->*member;
          bytes.insert(bytes.end(), text.begin(), text.end());
        }
        offsets.push_back(bytes.size());
      });
    }
    ArchiveGroup text = group.group(name);
    text.dimension_without_values("byte", bytes.size());
    text.column("offsets", offsets);
    text.column("bytes", bytes);
  }

 private:
  template <typename T>
  void write_numbers(T Record::*member, T missing) const {
    std::vector<T> values;
    records.for_each([&](const Record* record) {
      values.push_back(record != nullptr ? record->*member : missing);
    });
    group.column<T>(name, values, missing);
  }
};

void write_shares(ArchiveGroup group, const BenchmarkRecords& records, const Plan& plan) {
  const std::vector<AnswerShares> shares = records.shares();
  for (const ShareColumn& column : share_columns(records.benchmark().kind)) {
    group.column(std::string(column.name), each(shares, column.member));
  }
  group.column("signs", each(shares, [&](const AnswerShares& of_variant) {
                 return sign_names(find_signs(records.benchmark(), of_variant, plan.gates));
               }));
}

void write_benchmark(ArchiveGroup group, const BenchmarkRecords& records, const Plan& plan) {
  const BenchmarkPlan& benchmark = records.benchmark();
  group.attribute("kind", std::string(kind_name(benchmark.kind)));
  group.attribute("shots", benchmark.shots);
  group.attribute("rules", benchmark.rules);
  group.attribute("selection", benchmark.selection);
  group.attribute("question_ids_sha256", question_ids_sha256(benchmark));
  group.scale("variant", each(plan.variants, &Variant::name));
  group.scale("question", benchmark.questions.size());
  if (benchmark.kind == BenchmarkKind::kMultipleChoice) {
    group.scale("choice", static_cast<size_t>(benchmark.num_choices));
  } else {
    group.attribute("max_new_tokens", benchmark.max_new_tokens);
    group.scale("boundary", benchmark.questions.size() + 1);
  }
  write_questions(group.group("questions"), benchmark);
  for (const Column& column : columns(benchmark.kind)) {
    std::visit(ColumnWriter{group, std::string(column.name), records}, column.member);
  }
  write_shares(group.group("shares"), records, plan);
}

void write_audit(ArchiveGroup group, const Audit& audit) {
  group.attribute("num_duplicates_compared", audit.num_duplicates_compared);
  group.attribute("num_duplicates_different", audit.num_duplicates_different);
  group.attribute("variant_tokens", audit.variant_tokens);
  group.attribute("at_work_s", audit.at_work_s);
  group.attribute(
      "variant_tokens_per_s",
      audit.at_work_s > 0 ? static_cast<double>(audit.variant_tokens) / audit.at_work_s : 0.0);
  ArchiveGroup units = group.group("units");
  units.scale("event", audit.units.size());
  units.column("unit", each(audit.units, &UnitAudit::unit));
  units.column("attempt", each(audit.units, &UnitAudit::attempt));
  units.column("rank", each(audit.units, &UnitAudit::rank));
  units.column("host", each(audit.units, &UnitAudit::host));
  units.column("started_s", each(audit.units, &UnitAudit::started_s));
  units.column("elapsed_s", each(audit.units, &UnitAudit::elapsed_s));
  units.column("idle_s", each(audit.units, &UnitAudit::idle_s));
  for (size_t phase = 0; phase < kPhases.size(); ++phase) {
    units.column(
        std::string(kPhases[phase].name) + "_s",
        each(audit.units, [phase](const UnitAudit& unit) { return unit.phases_s[phase]; }));
  }
  units.column("outcome", each(audit.units, [](const UnitAudit& unit) {
                 return printable(unit.outcome, kMaxOutcomeBytes);
               }));
  ArchiveGroup quarantined = group.group("quarantined");
  quarantined.scale("entry", audit.quarantined.size());
  quarantined.column("benchmark", each(audit.quarantined, &QuarantineAudit::benchmark));
  quarantined.column("subject", each(audit.quarantined, &QuarantineAudit::subject));
  quarantined.column("doc_id", each(audit.quarantined, &QuarantineAudit::doc_id));
  quarantined.column("variants", each(audit.quarantined, &QuarantineAudit::variants));
  quarantined.column("reason", each(audit.quarantined, [](const QuarantineAudit& entry) {
                       return printable(entry.reason, kMaxOutcomeBytes);
                     }));
}

std::string archive_image(
    const Plan& plan,
    const RecordTable& records,
    const Provenance& provenance,
    const Audit& audit,
    std::vector<WrittenDataSet>& written) {
  const Hdf5Id file = create_hdf5_image();
  ArchiveGroup root = ArchiveGroup::root(file, written);
  write_root_attributes(root, plan, records, provenance);
  write_variants(root.group("variants"), plan);
  const ArchiveGroup benchmarks = root.group("benchmarks");
  for (size_t b = 0; b < plan.benchmarks.size(); ++b) {
    const std::string format_name = "<" + std::string(kind_name(plan.benchmarks[b].kind)) + ">";
    write_benchmark(
        benchmarks.group(plan.benchmarks[b].name, format_name),
        {plan, records, static_cast<int32_t>(b)},
        plan);
  }
  write_audit(root.group("audit"), audit);
  return hdf5_image(file);
}

/// Opens the file as a reader would.
void check_archive(
    const fs::path& path, const Plan& plan, const std::vector<WrittenDataSet>& written) {
  const Hdf5Id file = open_hdf5(path);
  if (read_text_attribute(file, "plan_sha256") != plan_sha256(plan)) {
    throw Hdf5Error(ExitStatus::kDisk, "read back attribute plan_sha256", "it has changed");
  }
  for (const WrittenDataSet& expected : written) {
    if (data_set_dims(open_data_set(file, expected.path)) != expected.dims) {
      throw Hdf5Error(ExitStatus::kDisk, "read back " + expected.path, "its shape has changed");
    }
  }
}

}  // namespace

void write_archive(
    const fs::path& path,
    const Plan& plan,
    const RecordTable& records,
    const Provenance& provenance,
    const Audit& audit) {
  const Hdf5Silence silence;
  try {
    // Made in memory, so that a full disk meets write() and not HDF5, whose files cannot be closed
    // then.
    std::vector<WrittenDataSet> written;
    std::string bytes = archive_image(plan, records, provenance, audit, written);
    bytes += seal_of(bytes);
    AtomicFile file(path);
    file.write(bytes);
    check_archive(file.path(), plan, written);
    file.publish();
  } catch (const Hdf5Error& error) {
    throw Error(ExitStatus::kDisk, path.string() + ": " + error.what());
  }
}

}  // namespace prune_sweep
