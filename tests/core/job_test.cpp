#include "prune_sweep/core/job.hpp"

#include <cmath>
#include <limits>

#include "core/message_of.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace fs = std::filesystem;

namespace {

using Overrides = std::vector<std::string>;

const std::vector<BenchmarkKeys> kKnown{
    {"mmlu", BenchmarkKind::kMultipleChoice}, {"gsm8k", BenchmarkKind::kGeneration}};

const std::string kMinimal = "[model]\npath=m\n[benchmarks]\nmmlu=d\n[output]\ndir=o\n";

Job parse(const std::string& text, const Overrides& overrides = {}) {
  return parse_job(text, "jobs/x.ini", "/base", overrides, kKnown);
}

std::string refusal(const std::string& text, const Overrides& overrides = {}) {
  return refusal_of([&] { parse(text, overrides); });
}

void check_same(const Job& a, const Job& b) {
  CHECK(a.model.path == b.model.path);
  CHECK(a.model.dtype == b.model.dtype);
  CHECK(a.model.device == b.model.device);
  CHECK(a.sweep.layers == b.sweep.layers);
  CHECK(a.sweep.magnitude == b.sweep.magnitude);
  CHECK(a.sweep.scope == b.sweep.scope);
  REQUIRE(a.sweep.variants.size() == b.sweep.variants.size());
  for (size_t i = 0; i < a.sweep.variants.size(); ++i) {
    CHECK(a.sweep.variants[i].name == b.sweep.variants[i].name);
    CHECK(a.sweep.variants[i].edits == b.sweep.variants[i].edits);
  }
  REQUIRE(a.benchmarks.size() == b.benchmarks.size());
  for (size_t i = 0; i < a.benchmarks.size(); ++i) {
    CAPTURE(i);
    CHECK(a.benchmarks[i].name == b.benchmarks[i].name);
    CHECK(a.benchmarks[i].dir == b.benchmarks[i].dir);
    CHECK(a.benchmarks[i].selection.text() == b.benchmarks[i].selection.text());
    CHECK(a.benchmarks[i].selection.seed == b.benchmarks[i].selection.seed);
    CHECK(a.benchmarks[i].chat.format == b.benchmarks[i].chat.format);
    CHECK(a.benchmarks[i].chat.thinking == b.benchmarks[i].chat.thinking);
    CHECK(a.benchmarks[i].shots == b.benchmarks[i].shots);
    CHECK(a.benchmarks[i].exemplars == b.benchmarks[i].exemplars);
    CHECK(a.benchmarks[i].gold == b.benchmarks[i].gold);
    CHECK(a.benchmarks[i].max_new_tokens == b.benchmarks[i].max_new_tokens);
  }
  CHECK(a.gates.max_invalid == b.gates.max_invalid);
  CHECK(a.gates.max_truncated == b.gates.max_truncated);
  CHECK(a.gates.max_one_choice == b.gates.max_one_choice);
  CHECK(a.output_dir == b.output_dir);
}

std::vector<std::string> names_of(const std::vector<Variant>& variants) {
  std::vector<std::string> names;
  for (const Variant& variant : variants) names.push_back(variant.name);
  return names;
}

}  // namespace

TEST_CASE("every key of a job file is read") {
  const Job job = parse(R"(
# a comment
; another one
[model]
path = ../models/qwen   # to the end of the line
dtype = float32
device = cpu

[sweep]
layers = 0,3,7-9
magnitude = 0, 12.5 ,90
magnitude-scope = row
magnitude-embedding = false
repeat-baseline = 2
variant = both: 3 drop, 7 drop-attention
variant = most: 0-27 magnitude 80

[benchmarks]
mmlu = data/mmlu
gsm8k = /data/gsm8k
limit = 0.1
gsm8k-limit = 50
mmlu-shots = 3
gsm8k-shots = 8
gsm8k-exemplars = fixed
gsm8k-gold = skipped
max-new-tokens = 128

[output]
dir = /runs/one
)");
  CHECK(job.source == "jobs/x.ini");
  CHECK(job.model.path == "/models/qwen");
  CHECK(job.model.dtype == DType::kFloat32);
  CHECK(job.model.device == DeviceKind::kCpu);
  CHECK(job.sweep.layers == "0,3,7-9");
  CHECK(job.sweep.magnitude == std::vector<Percent>{{0}, {12'500'000}, {90'000'000}});
  CHECK(job.sweep.scope == MagnitudeScope::kRow);
  CHECK(job.sweep.repeat_baseline == 2);
  REQUIRE(job.sweep.variants.size() == 2);
  CHECK(job.sweep.variants[0].name == "both");
  CHECK(job.sweep.variants[0].edits == "3 drop, 7 drop-attention");
  CHECK(job.sweep.variants[1].name == "most");
  REQUIRE(job.benchmarks.size() == 2);
  CHECK(job.benchmarks[0].name == "mmlu");
  CHECK(job.benchmarks[0].dir == "/base/data/mmlu");
  CHECK(job.benchmarks[0].selection.limit.value == 0.1);
  CHECK(job.benchmarks[0].shots == 3);
  CHECK(job.benchmarks[0].exemplars == Exemplars::kFixed);
  CHECK(job.benchmarks[1].name == "gsm8k");
  CHECK(job.benchmarks[1].dir == "/data/gsm8k");
  CHECK(job.benchmarks[1].selection.limit.value == 50);
  CHECK(job.benchmarks[1].shots == 8);
  CHECK(job.benchmarks[1].exemplars == Exemplars::kFixed);
  CHECK(job.benchmarks[1].gold == GoldSolutions::kSkipped);
  CHECK(job.benchmarks[1].max_new_tokens == 128);
  CHECK(job.output_dir == "/runs/one");
}

TEST_CASE("what a job leaves out has a default") {
  const Job job = parse(kMinimal + "[benchmarks]\ngsm8k=g\n");
  CHECK(job.model.dtype == DType::kBfloat16);
  CHECK(job.model.device == DeviceKind::kAuto);
  CHECK(job.sweep.layers == "all");
  CHECK(job.sweep.magnitude.size() == 10);
  CHECK(job.sweep.magnitude.back().text() == "90");
  CHECK(job.sweep.scope == MagnitudeScope::kTensor);
  CHECK(job.sweep.variants.empty());
  REQUIRE(job.benchmarks.size() == 2);
  for (const BenchmarkRequest& request : job.benchmarks) {
    CHECK_FALSE(request.selection.limit.value.has_value());
    CHECK(request.shots == 5);
    CHECK(request.max_new_tokens == 256);
  }
  CHECK(job.benchmarks[1].exemplars == Exemplars::kSampled);
}

TEST_CASE("input paths start at the job file, the output at the working directory") {
  const Job job = parse(kMinimal);
  CHECK(job.model.path == "/base/m");
  CHECK(job.benchmarks[0].dir == "/base/d");
  CHECK(job.output_dir == fs::current_path() / "o");

  const TempDir dir;
  dir.write("job.ini", kMinimal);
  const Job read = read_job(dir.path() / "job.ini", {"--model.path=../m2"}, kKnown);
  CHECK(read.source == (dir.path() / "job.ini").string());
  CHECK(read.model.path == dir.path().parent_path() / "m2");
}

TEST_CASE("an override wins over the file, the last override over the others") {
  const std::string text = kMinimal + "[model]\ndtype=bfloat16\n";
  CHECK(parse(text, {"--model.dtype=float32"}).model.dtype == DType::kFloat32);
  CHECK(
      parse(text, {"--model.dtype=float32", "--sweep.layers=none", "--model.dtype=bfloat16"})
          .model.dtype == DType::kBfloat16);
  CHECK(parse(text, {"--sweep.layers=1", "--sweep.layers=2"}).sweep.layers == "2");
  CHECK(parse(kMinimal, {"--benchmarks.limit=0.5"}).benchmarks[0].selection.limit.value == 0.5);
  CHECK(parse(kMinimal, {"--output.dir=/a b/c"}).output_dir == "/a b/c");
  CHECK(
      parse("", {"--model.path=m", "--benchmarks.gsm8k=g", "--output.dir=o"}).benchmarks.size() ==
      1);
}

TEST_CASE("variants given as options replace those of the file, all of them counting") {
  const std::string text = kMinimal + "[sweep]\nvariant=f: 1 drop\n";
  CHECK(parse(text).sweep.variants.size() == 1);
  const Job job = parse(text, {"--sweep.variant=a: 2 drop", "--sweep.variant=b: 3 drop"});
  REQUIRE(job.sweep.variants.size() == 2);
  CHECK(job.sweep.variants[0].name == "a");
  CHECK(job.sweep.variants[1].name == "b");
}

TEST_CASE("files of Windows editors are read") {
  std::string text = kMinimal + "[sweep]\nvariant=a: 2 drop\n";
  std::string crlf;
  for (const char byte : text) crlf += byte == '\n' ? std::string("\r\n") : std::string(1, byte);
  check_same(parse(crlf), parse(text));
  check_same(parse("\xef\xbb\xbf" + crlf), parse(text));
}

TEST_CASE("comments begin with # or ;") {
  const std::string text =
      "; before\n  ; indented = 3\n[model] # section\npath=m # rest\n;path=n\n#path=n\n"
      "[benchmarks]\nmmlu=d;e\n[output]\ndir=o\n";
  const Job job = parse(text);
  CHECK(job.model.path == "/base/m");
  // A semicolon inside a value is a part of it.
  CHECK(job.benchmarks[0].dir == "/base/d;e");
}

TEST_CASE("bad jobs are refused with file, key and reason") {
  struct Row {
    std::string lines;
    std::vector<std::string> words;
  };
  const std::vector<Row> rows{
      {"[sweep]\nmagnitud=3", {"sweep.magnitud", "unknown key", "sweep.magnitude,"}},
      {"[sweeps]\nlayers=3", {"sweeps.layers", "unknown key"}},
      {"[benchmarks]\narc=d", {"benchmarks.arc", "unknown key"}},
      {"[benchmarks]\nmmlu-exemplars=fixed", {"benchmarks.mmlu-exemplars", "unknown key"}},
      {"[model]\ndtype=float32\ndtype=float32", {"model.dtype", "more than once"}},
      {"[model]\ndtype=float32\n[model]\ndtype=float32", {"model.dtype", "more than once"}},
      {"[model]\ndtype=float8", {"model.dtype=float8", "one of bfloat16, float32, float16"}},
      {"[model]\ndtype=", {"model.dtype=", "one of bfloat16, float32"}},
      {"[model]\ndevice=tpu", {"model.device=tpu", "one of auto, cpu, cuda"}},
      {"[sweep]\nmagnitude=140", {"sweep.magnitude=140", "percent must be in [0, 100]"}},
      {"[sweep]\nmagnitude=-1", {"sweep.magnitude=-1", "'-1' is not a percent"}},
      {"[sweep]\nmagnitude=1,,2", {"sweep.magnitude=1,,2", "empty level"}},
      {"[sweep]\nmagnitude=", {"sweep.magnitude=", "none or a list"}},
      {"[sweep]\nlayers=", {"sweep.layers=", "all, none or a list"}},
      {"[sweep]\nlayers= ,", {"sweep.layers=,", "all, none or a list"}},
      {"[sweep]\nmagnitude-scope=layer", {"sweep.magnitude-scope=layer", "tensor, row, global"}},
      {"[sweep]\nrepeat-baseline=-1", {"sweep.repeat-baseline=-1", "whole number"}},
      {"[sweep]\nmagnitude-embedding=true", {"sweep.magnitude-embedding=true", "must be false"}},
      {"[sweep]\nvariant=x", {"sweep.variant=x", "NAME: EDITS"}},
      {"[sweep]\nvariant=", {"sweep.variant=", "NAME: EDITS"}},
      {"[sweep]\nvariant=: 3 drop", {"1 to 64 letters"}},
      {"[sweep]\nvariant=a/b: 3 drop", {"sweep.variant=a/b: 3 drop", "1 to 64 letters"}},
      {"[sweep]\nvariant=a b: 3 drop", {"1 to 64 letters"}},
      {"[sweep]\nvariant=" + std::string(65, 'n') + ": 3 drop", {"1 to 64 letters"}},
      {"[benchmarks]\nlimit=0", {"benchmarks.limit=0", "a share in (0, 1)"}},
      {"[benchmarks]\nlimit=", {"benchmarks.limit=", "a share in (0, 1)"}},
      {"[benchmarks]\nlimit=-3", {"benchmarks.limit=-3"}},
      {"[benchmarks]\nlimit=1.5", {"benchmarks.limit=1.5"}},
      {"[benchmarks]\nlimit=nan", {"benchmarks.limit=nan"}},
      {"[benchmarks]\nlimit=inf", {"benchmarks.limit=inf"}},
      {"[benchmarks]\nlimit=10%", {"benchmarks.limit=10%"}},
      {"[benchmarks]\nmmlu-limit=2x", {"benchmarks.mmlu-limit=2x"}},
      {"[benchmarks]\nmmlu-shots=-1", {"benchmarks.mmlu-shots=-1", "whole number in [0, 1000]"}},
      {"[benchmarks]\nmmlu-shots=", {"benchmarks.mmlu-shots=", "whole number"}},
      {"[benchmarks]\nmmlu-shots=5.0", {"benchmarks.mmlu-shots=5.0", "whole number"}},
      {"[benchmarks]\nmax-new-tokens=0", {"benchmarks.max-new-tokens=0", "[1, 100000]"}},
      {"[benchmarks]\ngsm8k=g\ngsm8k-exemplars=none", {"gsm8k-exemplars=none", "sampled, fixed"}},
      {"[benchmarks]\ngsm8k=g\ngsm8k-gold=none", {"gsm8k-gold=none", "scored, skipped"}},
      {"[model]\nnonsense", {"nonsense"}},
      {"[model\ndtype=float32", {"[model"}},
      {"[model]\ndevice=\x1b[2J", {R"(\x1b[2J)"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.lines);
    const std::string message = refusal(kMinimal + row.lines + "\n");
    CHECK_THAT(message, Catch::Matchers::StartsWith("jobs/x.ini"));
    CHECK(message.find_first_of("\n\r\x1b") == std::string::npos);
    for (const std::string& words : row.words) CHECK_THAT(message, ContainsSubstring(words));
  }
}

TEST_CASE("a job without model, benchmark or output is refused") {
  CHECK_THAT(
      refusal("[benchmarks]\nmmlu=d\n[output]\ndir=o\n"),
      ContainsSubstring("jobs/x.ini: model.path (must be given)"));
  CHECK_THAT(
      refusal("[model]\npath=\n[benchmarks]\nmmlu=d\n[output]\ndir=o\n"),
      ContainsSubstring("model.path (must be given)"));
  CHECK_THAT(
      refusal("[model]\npath=m\n[benchmarks]\nmmlu=d\n"),
      ContainsSubstring("output.dir (must be given)"));
  const std::string no_benchmark = refusal("[model]\npath=m\n[output]\ndir=o\n");
  CHECK_THAT(no_benchmark, ContainsSubstring("no benchmark"));
  CHECK_THAT(no_benchmark, ContainsSubstring("benchmarks.mmlu, benchmarks.gsm8k"));
  CHECK_THAT(
      refusal("[model]\npath=m\n[benchmarks]\nmmlu=\n[output]\ndir=o\n"),
      ContainsSubstring("no benchmark"));
}

TEST_CASE("what says which questions, and how they are put, is refused where it says two things") {
  const auto words = [](const Overrides& overrides, const std::string& text) {
    CHECK_THAT(refusal(kMinimal, overrides), ContainsSubstring(text));
  };
  words({"--benchmarks.limit=0.1", "--benchmarks.sample=5"}, "benchmarks.limit=0.1 is given, too");
  words({"--benchmarks.mmlu-limit=3", "--benchmarks.mmlu-ids=a:1"}, "mmlu-limit=all takes");
  words({"--benchmarks.sample=0"}, "benchmarks.sample=0");
  words({"--benchmarks.sample=0.5"}, "whole number");
  words({"--benchmarks.seed=-1"}, "benchmarks.seed=-1");
  words({"--benchmarks.mmlu-ids=a:x"}, "'x' is not a doc_id");
  words({"--benchmarks.chat-template=yes"}, "none, multi-turn, single-turn");
  words({"--benchmarks.chat-template=multi-turn"}, "benchmarks.thinking (must be given");
  words({"--benchmarks.thinking=off", "--benchmarks.thinking=maybe"}, "must be one of");
  words({"--benchmarks.thinking=on"}, "needs a chat template");
  words(
      {"--benchmarks.chat-template=multi-turn", "--benchmarks.thinking=on"},
      "mmlu is answered by log-likelihoods");
  words({"--gates.max-invalid=1.5"}, "gates.max-invalid=1.5 (must be a share");
  words({"--gates.max-one-choice=nan"}, "gates.max-one-choice=nan");
  // A limit of `all` says nothing against a sample.
  CHECK(
      parse(kMinimal, {"--benchmarks.limit=all", "--benchmarks.sample=5"})
          .benchmarks[0]
          .selection.text() == "sample 5 seed 1234");
}

TEST_CASE("bad overrides are refused") {
  CHECK_THAT(refusal(kMinimal, {"--sweep.magnitud=3"}), ContainsSubstring("sweep.magnitud"));
  CHECK_THAT(refusal(kMinimal, {"--model.dtype=int8"}), ContainsSubstring("model.dtype=int8"));
  CHECK_THAT(refusal(kMinimal, {"--model.dtype"}), ContainsSubstring("model.dtype"));
  // An option's name is not guessed from its beginning.
  CHECK_THAT(refusal(kMinimal, {"--model.dt=float32"}), ContainsSubstring("model.dt"));
  CHECK_THAT(refusal(kMinimal, {"stray"}), ContainsSubstring("stray"));
  CHECK_THAT(refusal(kMinimal, {"-x"}), ContainsSubstring("-x"));
}

TEST_CASE("paths that a job file cannot hold are refused") {
  for (const char* path : {"/a#b", "/a\nb", "/a ", "/a\t"}) {
    CAPTURE(path);
    CHECK_THAT(
        refusal(kMinimal, {std::string("--output.dir=") + path}),
        ContainsSubstring("output.dir=/a"));
  }
  CHECK_THAT(
      refusal_of([] { parse_job(kMinimal, "x.ini", "/base#1", {}, kKnown); }),
      ContainsSubstring("x.ini: model.path=/base#1/m"));
}

TEST_CASE("a job file that cannot be read is refused by name") {
  const TempDir dir;
  const std::string missing = (dir.path() / "missing.ini").string();
  CHECK_THAT(
      refusal_of([&] { read_job(missing, {}, kKnown); }),
      ContainsSubstring(missing) && ContainsSubstring("No such file"));
  CHECK_THAT(
      refusal_of([&] { read_job(dir.path(), {}, kKnown); }), ContainsSubstring("is a folder"));
}

TEST_CASE("the default job is a job, and its keys are all there are") {
  const std::string text = default_job_text(kKnown);
  const Job job = parse(text);
  CHECK(job.model.path == "/base/model");
  CHECK(job.benchmarks.size() == 2);
  CHECK(job.benchmarks[0].selection.limit.value == 0.1);
  CHECK(job.sweep.layers == "all");
  // What it gives is the default, but for paths and the limit.
  check_same(
      parse(text, {"--benchmarks.limit=all"}),
      parse(
          "",
          {"--model.path=model",
           "--benchmarks.mmlu=mmlu",
           "--benchmarks.gsm8k=gsm8k",
           "--output.dir=results/run"}));
  for (const char* key :
       {"path",
        "dtype",
        "device",
        "layers",
        "magnitude",
        "magnitude-scope",
        "magnitude-embedding",
        "repeat-baseline",
        "variant",
        "mmlu",
        "mmlu-limit",
        "mmlu-sample",
        "mmlu-ids",
        "mmlu-shots",
        "gsm8k",
        "gsm8k-limit",
        "gsm8k-shots",
        "gsm8k-exemplars",
        "gsm8k-gold",
        "limit",
        "sample",
        "seed",
        "max-new-tokens",
        "chat-template",
        "thinking",
        "max-invalid",
        "max-truncated",
        "max-one-choice",
        "dir"}) {
    CAPTURE(key);
    const std::string line = std::string("\n") + key + " = ";
    const std::string commented = std::string("\n#") + key + " = ";
    CHECK((text.find(line) != std::string::npos || text.find(commented) != std::string::npos));
  }
}

TEST_CASE("a resolved job is the same job, wherever it is read") {
  const std::vector<Overrides> table{
      {},
      {"--model.path=/a path/with spaces; and = signs", "--output.dir=/out  put/x"},
      {"--model.dtype=float32", "--model.device=cuda", "--sweep.layers=0,3,7-9"},
      {"--benchmarks.sample=20", "--benchmarks.seed=7"},
      {"--benchmarks.mmlu-ids=virology:7 ; anatomy: 0,3-5", "--gates.max-invalid=0.125"},
      {"--benchmarks.mmlu-sample=9",
       "--benchmarks.chat-template=multi-turn",
       "--benchmarks.thinking=off"},
      {"--sweep.magnitude=none", "--sweep.layers=none"},
      {"--sweep.magnitude=0,12.5,33.333333,100", "--sweep.magnitude-scope=row"},
      {"--sweep.variant=a: 3 drop , 4 magnitude 50 row ", "--sweep.variant=b:5 drop"},
      {"--sweep.variant=same:"},
      {"--benchmarks.limit=0.1"},
      {"--benchmarks.limit=0.123456789"},
      {"--benchmarks.limit=0.0000001"},
      {"--benchmarks.limit=1"},
      {"--benchmarks.limit=1234567", "--benchmarks.mmlu-limit=1000000000"},
      {"--benchmarks.gsm8k=/g", "--benchmarks.gsm8k-limit=7", "--benchmarks.gsm8k-shots=0"},
      {"--benchmarks.gsm8k=/g", "--benchmarks.gsm8k-exemplars=fixed"},
      {"--benchmarks.gsm8k=/g", "--benchmarks.gsm8k-exemplars=sampled"},
      {"--benchmarks.gsm8k=/g", "--benchmarks.gsm8k-gold=skipped"},
      {"--benchmarks.gsm8k=/g", "--benchmarks.max-new-tokens=33", "--benchmarks.mmlu-shots=1000"},
  };
  for (const Overrides& overrides : table) {
    const Job job = parse(kMinimal, overrides);
    const std::string text = resolved_job_text(job);
    CAPTURE(text);
    check_same(parse_job(text, "RUN/job.ini", "/elsewhere", {}, kKnown), job);
    CHECK(resolved_job_text(parse_job(text, "RUN/job.ini", "/elsewhere", {}, kKnown)) == text);
  }
}

// Sizes of MMLU's 57 test files, in the order of their names; python3: math.ceil(n * 0.1) for each.
TEST_CASE("a limit takes as many questions as lm-evaluation-harness does") {
  const std::vector<size_t> sizes{100,  135, 152, 100, 265, 144, 100, 100, 100, 173, 102, 100,
                                  235,  114, 145, 378, 126, 100, 310, 203, 100, 165, 198, 193,
                                  390,  270, 238, 151, 545, 216, 204, 237, 223, 131, 121, 108,
                                  163,  112, 103, 234, 100, 783, 346, 895, 306, 311, 324, 282,
                                  1534, 272, 612, 110, 245, 201, 100, 166, 171};
  REQUIRE(sizes.size() == 57);
  size_t total = 0;
  size_t limited = 0;
  for (const size_t n : sizes) {
    CAPTURE(n);
    CHECK(Limit{0.1}.of(n) == (n + 9) / 10);
    CHECK(Limit{}.of(n) == n);
    CHECK(Limit{1}.of(n) == 1);
    CHECK(Limit{100}.of(n) == 100);
    CHECK(Limit{1e9}.of(n) == n);
    total += n;
    limited += Limit{0.1}.of(n);
  }
  CHECK(total == 14'042);
  CHECK(limited == 1'430);
  // python3: math.ceil(n * limit), with the rounding of binary floating point
  CHECK(Limit{0.3}.of(110) == 33);
  CHECK(Limit{0.7}.of(110) == 77);
  CHECK(Limit{0.01}.of(100) == 1);
  CHECK(Limit{0.999}.of(1319) == 1318);
  CHECK(Limit{0.1}.of(1319) == 132);
  CHECK(Limit{0.1}.of(0) == 0);
  CHECK(Limit{5}.of(3) == 3);
}

TEST_CASE("variants are enumerated: baseline, drops, levels, named ones") {
  const Job job = parse(kMinimal, {"--sweep.variant=pair: 0 drop, 2 magnitude 40"});
  const auto variants = enumerate_variants(job, 3);
  CHECK(
      names_of(variants) == std::vector<std::string>{
                                "baseline",
                                "drop-00",
                                "drop-01",
                                "drop-02",
                                "magnitude-00",
                                "magnitude-10",
                                "magnitude-20",
                                "magnitude-30",
                                "magnitude-40",
                                "magnitude-50",
                                "magnitude-60",
                                "magnitude-70",
                                "magnitude-80",
                                "magnitude-90",
                                "pair"});
  CHECK(variants[0].edits.empty());
  CHECK(edits_text(variants[2].edits) == "1 drop");
  CHECK(edits_text(variants[8].edits) == "0-2 magnitude 40");
  CHECK(edits_text(variants.back().edits) == "0 drop, 2 magnitude 40");
}

TEST_CASE("the job's scope is that of all its magnitude edits") {
  const Job job = parse(
      kMinimal,
      {"--sweep.magnitude-scope=row", "--sweep.magnitude=30", "--sweep.variant=a: 1 magnitude 5"});
  const auto variants = enumerate_variants(job, 28);
  CHECK(edits_text(variants[variants.size() - 2].edits) == "0-27 magnitude 30 row");
  CHECK(edits_text(variants.back().edits) == "1 magnitude 5 row");
}

TEST_CASE("copies of the baseline come last") {
  const Job job = parse(
      kMinimal,
      {"--sweep.magnitude=none",
       "--sweep.layers=none",
       "--sweep.variant=pair: 0 drop",
       "--sweep.repeat-baseline=2"});
  const auto variants = enumerate_variants(job, 28);
  CHECK(
      names_of(variants) ==
      std::vector<std::string>{"baseline", "pair", "baseline-repeat-1", "baseline-repeat-2"});
  CHECK(variants[2].edits.empty());
  CHECK(variants[1].repeat == 0);
  CHECK(variants[2].repeat == 1);
  CHECK(variants[3].repeat == 2);
}

TEST_CASE("a sweep of nothing is the baseline") {
  const Job job = parse(kMinimal, {"--sweep.magnitude=none", "--sweep.layers=none"});
  CHECK(names_of(enumerate_variants(job, 28)) == std::vector<std::string>{"baseline"});
}

TEST_CASE("variants that the model or their names do not allow are refused") {
  struct Row {
    Overrides overrides;
    std::vector<std::string> words;
  };
  const std::vector<Row> rows{
      {{"--sweep.layers=28"}, {"jobs/x.ini: sweep.layers=28", "layer 28 is not there", "0 to 27"}},
      {{"--sweep.layers=x"}, {"jobs/x.ini: sweep.layers=x", "'x'"}},
      {{"--sweep.layers=3,3"}, {"layer 3 is named twice"}},
      {{"--sweep.variant=a: 28 drop"}, {"sweep.variant=a:", "layer 28 is not there"}},
      {{"--sweep.variant=a: 3 drop", "--sweep.variant=a: 4 drop"}, {"variant a", "given twice"}},
      {{"--sweep.variant=baseline: 3 drop"}, {"variant baseline", "given twice"}},
      {{"--sweep.variant=drop-07: 3 drop"}, {"variant drop-07", "given twice"}},
      {{"--sweep.repeat-baseline=1", "--sweep.variant=baseline-repeat-1: 3 drop"},
       {"variant baseline-repeat-1", "given twice"}},
      {{"--sweep.magnitude=30,30.0"}, {"variant magnitude-30", "given twice", "Rename"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.overrides);
    const Job job = parse(kMinimal, row.overrides);
    const std::string message = refusal_of([&] { enumerate_variants(job, 28); });
    for (const std::string& words : row.words) CHECK_THAT(message, ContainsSubstring(words));
  }
}

TEST_CASE("dtypes and devices are read by the names they are written with") {
  for (const DType dtype : {DType::kBfloat16, DType::kFloat32, DType::kFloat16}) {
    CHECK(parse_dtype(name(dtype), "") == dtype);
  }
  for (const DeviceKind device : {DeviceKind::kAuto, DeviceKind::kCpu, DeviceKind::kCuda}) {
    CHECK(parse_device(name(device), "") == device);
  }
}
