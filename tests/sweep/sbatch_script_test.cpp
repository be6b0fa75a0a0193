#include "prune_sweep/sweep/sbatch_script.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/message_of.hpp"
#include "prune_sweep/sweep/command_output.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;
namespace fs = std::filesystem;

namespace {

BatchJob some_job(Allocation allocation) {
  return {
      .allocation = std::move(allocation),
      .program = "/opt/prune-sweep/bin/prune-sweep",
      .arguments = {"/results/run/submit.ini"},
      .log_dir = "/results/run/log"};
}

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// Compares with the kept file; leaves what there is now in the working directory, to be looked at.
void check_golden(const std::string& name, const BatchJob& job) {
  const std::string script = sbatch_script(job);
  const std::string golden =
      text_of(fs::path(PRUNE_SWEEP_SOURCE_DIR) / "tests/sweep/sbatch" / name);
  if (script != golden) std::ofstream(name) << script;
  CHECK(script == golden);
}

}  // namespace

TEST_CASE("scripts are those that were looked at and kept") {
  check_golden(
      "1-node-cpu.sbatch",
      some_job({.ranks_per_node = 8, .cores_per_rank = 4, .time = "02:00:00"}));
  check_golden(
      "1-node-8-gpus.sbatch",
      some_job({.ranks_per_node = 8, .cores_per_rank = 8, .gpus_per_node = 8}));
  BatchJob large = some_job(
      {.num_nodes = 4,
       .ranks_per_node = 4,
       .cores_per_rank = 16,
       .gpus_per_node = 4,
       .time = "1-00:00:00",
       .memory = "0",
       .partition = "gpu",
       .account = "proj-42",
       .qos = "long",
       .constraint = "a100&nvlink"});
  large.launcher = "srun";
  large.max_requeues = 5;
  large.arguments.push_back("--no-gates");
  check_golden("4-nodes-4-gpus.sbatch", large);
}

TEST_CASE("any name is one word to a shell") {
  const TempDir dir;
  for (const std::string& name :
       {std::string("plain"),
        std::string("two words"),
        std::string("it's"),
        std::string("\"quoted\""),
        std::string("$HOME `id` $(id) ${x}"),
        std::string("a;b|c&d>e<f!g*h?i[j]k{l}m~n#o\\p"),
        std::string("'"),
        std::string("''\"'\"''"),
        std::string("-n"),
        std::string("M\xc3\xbcller"),
        std::string("")}) {
    CAPTURE(name);
    const CommandOutput said =
        run_command({"bash", "-c", "printf %s " + shell_quoted(name, "name")}, 10);
    // printf takes a word that looks like an option for one; it is one word all the same.
    if (name != "-n") CHECK(said.text == name);
  }
  for (const char* name : {"two\nlines", "\x1b[2J", "tab\there", "\x7f"}) {
    CHECK(refusal_of([&] { shell_quoted(name, "model.path"); }).find("model.path") == 0);
  }
}

TEST_CASE("the script hands its arguments on as they are") {
  const TempDir dir;
  const std::string odd = "/a b/it's $(touch " + (dir.path() / "run").string() + ") \"%j\".ini";
  BatchJob job = some_job({});
  job.program = "/bin/echo";
  job.arguments = {odd, "--deadline=1:00"};
  const std::string script = sbatch_script(job);
  const size_t header_end = script.find("# --- the same");
  REQUIRE(header_end != std::string::npos);
  const CommandOutput said = run_command(
      {"bash", "-c", script.substr(0, header_end) + "printf '<%s>' \"$PRUNE_SWEEP\" \"$@\""}, 10);
  CHECK(said.text == "</bin/echo><" + odd + "><--deadline=1:00>");
  CHECK(!fs::exists(dir.path() / "run"));
}

TEST_CASE("time limits are read as sbatch reads them") {
  CHECK(time_limit_s("90") == 90 * 60);
  CHECK(time_limit_s("90:30") == 90 * 60 + 30);
  CHECK(time_limit_s("04:00:00") == 4 * 3600);
  CHECK(time_limit_s("2-12") == 60 * 3600);
  CHECK(time_limit_s("1-02:30") == 26.5 * 3600);
  CHECK(time_limit_s("1-02:30:15") == 26.5 * 3600 + 15);
  for (const char* text :
       {"", "0", "00:30", "1h", "4:00:00:00", "-1", "1-", "-", "1:2:3:4", "1 2"}) {
    CAPTURE(text);
    CHECK(refusal_of([&] { time_limit_s(text); }).find("--time=") == 0);
  }
}

TEST_CASE("what SLURM would not take as one word is refused by name") {
  const auto refusal = [](const auto& change) {
    BatchJob job = some_job({});
    change(job);
    return refusal_of([&] { sbatch_script(job); });
  };
  for (const std::string& word :
       {std::string("two words"),
        std::string("a\nb"),
        std::string("$(id)"),
        std::string("a;b"),
        std::string("\"a\""),
        std::string("a#b"),
        std::string("--wrap=id")}) {
    CAPTURE(word);
    CHECK(refusal([&](BatchJob& j) { j.allocation.partition = word; }).find("--partition=") == 0);
    CHECK(refusal([&](BatchJob& j) { j.allocation.account = word; }).find("--account=") == 0);
    CHECK(refusal([&](BatchJob& j) { j.allocation.memory = word; }).find("--mem=") == 0);
  }
  CHECK(refusal([](BatchJob& j) { j.allocation.num_nodes = 0; }).find("--nodes=0") == 0);
  CHECK(refusal([](BatchJob& j) { j.allocation.gpus_per_node = -1; }).find("--gpus-per-node") == 0);
  CHECK(refusal([](BatchJob& j) { j.allocation.time = "soon"; }).find("--time=soon") == 0);
  CHECK(refusal([](BatchJob& j) { j.log_dir = "/a\\b"; }).find("output.dir") != std::string::npos);
  CHECK(refusal([](BatchJob& j) { j.log_dir = "/a\"b"; }).find("output.dir") != std::string::npos);
  CHECK(refusal([](BatchJob& j) { j.arguments = {"/a\nb.ini"}; }).find("job: ") == 0);
}

TEST_CASE("shards are an array, with a log for each") {
  const std::string script = sbatch_script(some_job({.num_shards = 4}));
  CHECK(script.find("#SBATCH --array=1-4\n") != std::string::npos);
  CHECK(script.find("/slurm-%A_%a.log\"\n") != std::string::npos);
  BatchJob odd = some_job({});
  odd.log_dir = "/100%/it's here";
  CHECK(
      sbatch_script(odd).find("--output=\"/100%%/it's here/slurm-%j.log\"\n") != std::string::npos);
}
