/// \file
/// The job: what the user asks for, from an INI file and the command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/core/record.hpp"
#include "prune_sweep/core/variant.hpp"

namespace prune_sweep {

enum class DType : uint8_t { kBfloat16, kFloat32, kFloat16 };
enum class DeviceKind : uint8_t { kAuto, kCpu, kCuda };

std::string_view name(DType dtype);
std::string_view name(DeviceKind device);
DType parse_dtype(std::string_view text, std::string_view where);
DeviceKind parse_device(std::string_view text, std::string_view where);

/// How many questions of a subject are taken, by the harness's rule: always the first ones.
struct Limit {
  /// Below 1 a share, rounded up; from 1 on a number of questions. Nothing: all.
  std::optional<double> value;

  size_t of(size_t num_questions) const;
};

/// Seed of everything that is drawn unless a job says otherwise; the harness's.
inline constexpr uint32_t kDefaultSeed = 1234;

/// Questions by name.
struct SubjectIds {
  std::string subject;           ///< empty where the benchmark has none
  std::vector<int32_t> doc_ids;  ///< ascending
  bool operator==(const SubjectIds&) const = default;
};

/// Which questions of a benchmark are asked: `ids` when there are any, else `sample` when it is
/// set, else `limit`.
struct Selection {
  Limit limit;
  /// So many in all, drawn from each subject in proportion to its size.
  std::optional<int32_t> sample;
  uint32_t seed = kDefaultSeed;  ///< of the sample
  std::vector<SubjectIds> ids;

  /// `limit 0.1`, `sample 200 seed 1234`, `ids anatomy:0,3-5;virology:7`.
  std::string text() const;
};

/// Reads `anatomy:0,3-5; virology:7`, or `0,3-5` where there are no subjects. Throws Error
/// (kBadInput) beginning with `where`.
std::vector<SubjectIds> parse_subject_ids(std::string_view text, std::string_view where);
/// The shortest text that reads back as `ids`.
std::string subject_ids_text(const std::vector<SubjectIds>& ids);

/// How a prompt is put to the model: as plain text, or as the turns of a conversation.
enum class ChatFormat : uint8_t {
  kNone,
  kMultiTurn,   ///< every exemplar is a turn of the user and one of the assistant
  kSingleTurn,  ///< exemplars and question are one turn of the user
};

/// Whether the model is asked to reason before it answers. Chat only.
enum class Thinking : uint8_t { kOff, kOn };

struct Chat {
  ChatFormat format = ChatFormat::kNone;
  Thinking thinking = Thinking::kOff;
};

/// When the baseline's answers are so odd that the run is stopped (see find_signs()).
struct Gates {
  double max_invalid = 0.5;     ///< share of generated texts without an answer
  double max_truncated = 0.5;   ///< share of generated texts cut at max-new-tokens
  double max_one_choice = 0.9;  ///< share of the choice that is picked most
};

/// How few-shot exemplars are chosen.
enum class Exemplars : uint8_t {
  kSampled,  ///< drawn anew for every question, as the harness does for GSM8K
  kFixed,    ///< the first ones, the same for all questions
};

/// Whether the gold solutions of a benchmark that generates are scored, too; lm-evaluation-harness
/// does not.
enum class GoldSolutions : uint8_t { kScored, kSkipped };

/// What a job says about one benchmark.
struct BenchmarkRequest {
  std::string name;
  std::filesystem::path dir;
  Selection selection;
  int32_t shots = 5;
  Exemplars exemplars = Exemplars::kSampled;
  GoldSolutions gold = GoldSolutions::kScored;
  int32_t max_new_tokens = 256;
  BenchmarkKind kind = BenchmarkKind::kMultipleChoice;
  Chat chat;
};

struct Job {
  struct Model {
    std::filesystem::path path;
    DType dtype = DType::kBfloat16;
    DeviceKind device = DeviceKind::kAuto;
  };
  /// `variant = NAME: EDITS`, kept as text until the number of layers is known.
  struct NamedEdits {
    std::string name;
    std::string edits;
  };
  struct Sweep {
    std::string layers = "all";
    std::vector<Percent> magnitude;
    MagnitudeScope scope = MagnitudeScope::kTensor;
    std::vector<NamedEdits> variants;
    int32_t repeat_baseline = 0;  ///< copies of the baseline that are computed once more
  };

  std::string source;  ///< the job file's path, for messages
  Model model;
  Sweep sweep;
  std::vector<BenchmarkRequest> benchmarks;
  Gates gates;
  std::filesystem::path output_dir;
};

/// A benchmark the program knows: it gives the job file the keys NAME, NAME-limit, NAME-sample,
/// NAME-ids and NAME-shots, and NAME-exemplars where answers are generated.
struct BenchmarkKeys {
  std::string name;
  BenchmarkKind kind = BenchmarkKind::kMultipleChoice;
};

/// Reads a job file and applies `overrides` ("--section.key=value"): they replace the file's
/// values, and of several for one key the last counts; only those of sweep.variant add up. Input
/// paths are taken relative to the job file, output.dir relative to the working directory; both
/// come out absolute. Throws Error (kBadInput) naming file, key and value: unknown or repeated
/// keys, values out of range.
Job read_job(
    const std::filesystem::path& path,
    const std::vector<std::string>& overrides,
    const std::vector<BenchmarkKeys>& known);

/// As read_job, from text. `base` is what relative input paths start from; `source` names the text
/// in messages.
Job parse_job(
    const std::string& text,
    const std::string& source,
    const std::filesystem::path& base,
    const std::vector<std::string>& overrides,
    const std::vector<BenchmarkKeys>& known);

/// A job file with every key, its meaning and default. It is a valid job but for the paths.
std::string default_job_text(const std::vector<BenchmarkKeys>& known);

/// The job as an INI file with every key and absolute paths: what stands in RUN/job.ini.
std::string resolved_job_text(const Job& job);

/// baseline, the single drops, the magnitude levels, the named variants, the copies of the
/// baseline, in this order.
/// Throws Error (kBadInput) for layers the model lacks and for duplicate or unusable names.
std::vector<Variant> enumerate_variants(const Job& job, int32_t num_layers);

}  // namespace prune_sweep
