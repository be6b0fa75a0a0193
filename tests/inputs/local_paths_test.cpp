#include "prune_sweep/inputs/local_paths.hpp"

#include <cstdlib>

#include "core/message_of.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;
namespace fs = std::filesystem;

TEST_CASE("a path is taken from where its folder is on this host") {
  const TempDir dir;
  fs::create_directories(dir.path() / "nvme/qwen");
  const std::string local = (dir.path() / "nvme").string();
  const std::string absent = (dir.path() / "scratch").string();

  const LocalPaths paths("/shared=" + absent + ":/shared/models/=" + local + "/:/shared=/");
  CHECK(paths.of("/shared/models/qwen") == local + "/qwen");
  CHECK(paths.of("/shared/models") == local);
  CHECK(paths.of("/shared/data/mmlu") == "/data/mmlu");
  CHECK(paths.of("/shared-too/models") == "/shared-too/models");
  CHECK(LocalPaths("").of("/shared/models") == "/shared/models");
}

TEST_CASE("model and every benchmark of a job are looked for, its output is not") {
  const TempDir dir;
  Job job;
  job.model.path = "/shared/model";
  job.benchmarks = {{.name = "mmlu", .dir = "/shared/mmlu"}, {.name = "gsm8k", .dir = "/other"}};
  job.output_dir = "/shared/out";
  ::setenv("PRUNE_SWEEP_PATHS", ("/shared=" + dir.path().string()).c_str(), 1);
  const Job here = on_this_host(job);
  ::unsetenv("PRUNE_SWEEP_PATHS");
  CHECK(here.model.path == dir.path() / "model");
  CHECK(here.benchmarks[0].dir == dir.path() / "mmlu");
  CHECK(here.benchmarks[1].dir == "/other");
  CHECK(here.output_dir == "/shared/out");
  CHECK(on_this_host(job).model.path == "/shared/model");
}

TEST_CASE("what says no two paths is refused") {
  for (const char* text : {"/shared", "shared=/local", "/shared=local", "=", "/a=/b:x", ":"}) {
    CAPTURE(text);
    CHECK(refusal_of([&] { LocalPaths paths(text); }).find("PRUNE_SWEEP_PATHS") == 0);
  }
}
