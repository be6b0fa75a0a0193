#include <string>
#include <vector>

#include "prune_sweep/archive/archive.hpp"
#include "prune_sweep/core/signs.hpp"

namespace prune_sweep {

namespace {

using Entries = std::vector<FormatEntry>;

constexpr std::string_view kText = "UTF-8 string";

/// A path of the format without the group it is in.
struct Row {
  std::string name;  ///< `@` begins an attribute's
  std::string_view type;
  std::string_view shape;
  std::string_view units;
  std::string meaning;
};

void add(Entries& entries, const std::string& group, const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    entries.push_back(
        {group + "/" + row.name,
         std::string(row.type),
         std::string(row.shape),
         std::string(row.units),
         row.meaning,
         ""});
  }
}

const std::vector<Row>& root_rows() {
  static const std::vector<Row> kRows{
      {"@format", kText, "scalar", "", "always `prune-sweep`"},
      {"@format_major",
       "int32",
       "scalar",
       "",
       "a reader refuses a major version that it does not know"},
      {"@format_minor", "int32", "scalar", "", "grows when something is added"},
      {"@state", kText, "scalar", "", "`complete` when no record is missing, else `partial`"},
      {"@run_id", kText, "scalar", "", "name of the run"},
      {"@plan_sha256", kText, "scalar", "", "SHA-256 of the run's plan.json"},
      {"@model_sha256",
       kText,
       "scalar",
       "",
       "SHA-256 of the model's config.json and weights; empty when it was not computed"},
      {"@tokenizer_sha256", kText, "scalar", "", "SHA-256 of the tokenizer"},
      {"@dtype",
       kText,
       "scalar",
       "",
       "in what the model was computed: `bfloat16`, `float32` or `float16`"},
      {"@num_layers", "int32", "scalar", "", "decoder layers of the unedited model"},
      {"@num_parameters",
       "int64",
       "scalar",
       "",
       "parameters of the unedited model, a tied head counted once"},
      {"@job", kText, "scalar", "", "the job file, verbatim"},
      {"@command_line", kText, "scalar", "", "of the run's last start"},
      {"@program_version", kText, "scalar", "", "version of prune-sweep"},
      {"@git_commit", kText, "scalar", "", "commit that prune-sweep was built from"},
      {"@torch_version", kText, "scalar", "", "version of libtorch"},
      {"@device", kText, "scalar", "", "what the model was computed on"},
      {"@hosts", kText, "[host]", "", "hosts that took part"},
      {"@created_utc", kText, "scalar", "", "when the archive was written, ISO 8601, UTC"},
  };
  return kRows;
}

const std::vector<Row>& variant_rows() {
  static const std::vector<Row> kRows{
      {"variant", kText, "[variant]", "1", "dimension scale: names of the variants"},
      {"name", kText, "[variant]", "1", "name of the variant"},
      {"edits",
       kText,
       "[variant]",
       "1",
       "what is done to the model, as in a job file; empty for nothing"},
      {"num_parameters_removed",
       "int64",
       "[variant]",
       "1",
       "number of parameters of the dropped parts of layers"},
      {"sparsity_blocks",
       "float64",
       "[variant]",
       "1",
       "share of the decoder layers' linear weights that is removed or zeroed"},
      {"sparsity_model",
       "float64",
       "[variant]",
       "1",
       "share of all parameters that is removed or zeroed"},
  };
  return kRows;
}

const std::vector<Row>& benchmark_rows() {
  static const std::vector<Row> kRows{
      {"@shots", "int32", "scalar", "", "number of solved examples in a prompt"},
      {"@rules", kText, "scalar", "", "everything else that changes an answer"},
      {"@selection", kText, "scalar", "", "how the questions were chosen"},
      {"@question_ids_sha256",
       kText,
       "scalar",
       "",
       "SHA-256 of the lines `SUBJECT/DOC_ID` of all questions"},
      {"variant", kText, "[variant]", "1", "dimension scale: names of the variants"},
      {"question", "int32", "[question]", "1", "dimension scale: 0, 1, 2 ..."},
      {"questions/subject",
       kText,
       "[question]",
       "1",
       "subject of the question; empty where the benchmark has none"},
      {"questions/doc_id", "int32", "[question]", "1", "row in the test file, of its subject"},
      {"questions/prompt_sha256", kText, "[question]", "1", "SHA-256 of the prompt in UTF-8"},
      {"questions/prompt_tokens", "int32", "[question]", "token", "length of the prompt"},
  };
  return kRows;
}

const std::vector<Row>& multiple_choice_rows() {
  static const std::vector<Row> kRows{
      {"@kind", kText, "scalar", "", "always `multiple-choice`"},
      {"choice", "int32", "[choice]", "1", "dimension scale: 0, 1, 2 ..."},
      {"questions/gold", "int32", "[question]", "1", "index of the right choice"},
  };
  return kRows;
}

const std::vector<Row>& generation_rows() {
  static const std::vector<Row> kRows{
      {"@kind", kText, "scalar", "", "always `generation`"},
      {"@max_new_tokens", "int32", "scalar", "", "where a generation is cut"},
      {"boundary",
       "int32",
       "[boundary]",
       "1",
       "dimension scale: 0, 1, 2 ..., one more than there are questions"},
      {"questions/gold", kText, "[question]", "1", "the right answer"},
      {"questions/gold_tokens",
       "int32",
       "[question]",
       "token",
       "length of the gold solution; 0 where it is not scored"},
  };
  return kRows;
}

const std::vector<Row>& share_rows() {
  static const std::vector<Row> kRows{
      {"signs",
       kText,
       "[variant]",
       "1",
       "signs of a broken evaluation or model that the shares show, separated by commas"},
  };
  return kRows;
}

std::vector<Row> audit_rows() {
  std::vector<Row> rows{
      {"@num_duplicates_compared",
       "int64",
       "scalar",
       "",
       "records that came a second time and were compared with the first"},
      {"@num_duplicates_different", "int64", "scalar", "", "those of them that differed"},
      {"@variant_tokens",
       "int64",
       "scalar",
       "",
       "prompt and generated tokens of all records, as if every variant had answered every "
       "question "
       "alone"},
      {"@at_work_s", "float64", "scalar", "", "seconds during which at least one rank was at work"},
      {"@variant_tokens_per_s", "float64", "scalar", "", "variant_tokens / at_work_s"},
      {"units/event", "int32", "[event]", "1", "dimension scale: 0, 1, 2 ..."},
      {"units/unit", "int32", "[event]", "1", "number of the unit in plan.json"},
      {"units/attempt", "int32", "[event]", "1", "number of the attempt at the unit"},
      {"units/rank", "int32", "[event]", "1", "rank that had the unit"},
      {"units/host", kText, "[event]", "1", "host of the rank"},
      {"units/started_s", "float64", "[event]", "s", "since the run was first started"},
      {"units/elapsed_s", "float64", "[event]", "s", "how long the attempt took"},
      {"units/idle_s",
       "float64",
       "[event]",
       "s",
       "that the rank had nothing to do before, since its last attempt in the same start"},
      {"units/outcome", kText, "[event]", "1", "`committed`, `failed: ...` or `lost: ...`"},
      {"quarantined/entry", "int32", "[entry]", "1", "dimension scale: 0, 1, 2 ..."},
      {"quarantined/benchmark", kText, "[entry]", "1", "of the question in quarantine"},
      {"quarantined/subject", kText, "[entry]", "1", "subject of the question"},
      {"quarantined/doc_id", "int32", "[entry]", "1", "row of the question in the test file"},
      {"quarantined/variants",
       kText,
       "[entry]",
       "1",
       "names of the variants that lack the question, separated by commas"},
      {"quarantined/reason", kText, "[entry]", "1", "what happened when it was asked"},
  };
  for (const PhaseInfo& phase : kPhases) {
    rows.push_back(
        {"units/" + std::string(phase.name) + "_s",
         "float64",
         "[event]",
         "s",
         std::string(phase.description)});
  }
  return rows;
}

/// A record's column: a data set, or for text a group of its own.
void add_column(Entries& entries, const std::string& group, const Column& column) {
  const std::string path = group + "/" + std::string(column.name);
  const auto add_numbers = [&](std::string_view type, std::string_view shape) {
    entries.push_back(
        {path,
         std::string(type),
         std::string(shape),
         std::string(column.unit),
         std::string(column.description),
         std::string(column.labels)});
  };
  std::visit(
      [&](auto member) {
        using Value = std::remove_cvref_t<decltype(std::declval<Record>().*member)>;
        if constexpr (std::is_same_v<Value, std::vector<float>>) {
          add_numbers("float32", "[variant, question, choice]");
        } else if constexpr (std::is_same_v<Value, float>) {
          add_numbers("float32", "[variant, question]");
        } else if constexpr (std::is_same_v<Value, uint8_t>) {
          add_numbers("uint8", "[variant, question]");
        } else if constexpr (std::is_same_v<Value, int32_t>) {
          add_numbers("int32", "[variant, question]");
        } else {
          add(entries,
              path,
              {
                  {"byte", "uint8", "[byte]", "1", "dimension scale without values"},
                  {"offsets",
                   "uint64",
                   "[variant, boundary]",
                   "byte",
                   "text (v, q) is bytes[offsets[v, q] : offsets[v, q + 1]]; empty where not "
                   "evaluated"},
                  {"bytes", "uint8", "[byte]", "1", std::string(column.description)},
              });
        }
      },
      column.member);
}

}  // namespace

std::string_view kind_name(BenchmarkKind kind) {
  return kind == BenchmarkKind::kMultipleChoice ? "multiple-choice" : "generation";
}

std::vector<FormatEntry> format_entries() {
  Entries entries;
  add(entries, "", root_rows());
  add(entries, "/variants", variant_rows());
  for (const BenchmarkKind kind : {BenchmarkKind::kMultipleChoice, BenchmarkKind::kGeneration}) {
    const std::string group = "/benchmarks/<" + std::string(kind_name(kind)) + ">";
    add(entries, group, benchmark_rows());
    add(entries,
        group,
        kind == BenchmarkKind::kMultipleChoice ? multiple_choice_rows() : generation_rows());
    for (const Column& column : columns(kind)) add_column(entries, group, column);
    for (const ShareColumn& column : share_columns(kind)) {
      add(entries,
          group + "/shares",
          {{std::string(column.name),
            "float64",
            "[variant]",
            "1",
            std::string(column.description)}});
    }
    add(entries, group + "/shares", share_rows());
  }
  add(entries, "/audit", audit_rows());
  return entries;
}

}  // namespace prune_sweep
