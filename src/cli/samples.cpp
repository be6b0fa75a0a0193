#include <algorithm>
#include <cstdio>

#include "cli/options.hpp"
#include "cli/run_files.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/inputs/inputs.hpp"
#include "prune_sweep/sweep/history.hpp"
#include "prune_sweep/sweep/run_dir.hpp"

namespace prune_sweep {

int command_samples(const CommandLine& line) {
  line.require_only({"benchmark", "variant"}, 1);
  if (line.positional.empty() || !line.has("benchmark") || !line.has("variant")) {
    bad_input("samples", "needs a run directory, --benchmark=B and --variant=V");
  }
  const RunDir run(line.positional.front());
  run.require_run();
  const Plan plan = read_plan(run);
  const int32_t benchmark = index_of(plan.benchmarks, line.flags.at("benchmark"), "--benchmark");
  const int32_t variant = index_of(plan.variants, line.flags.at("variant"), "--variant");
  const Inputs inputs = read_inputs(read_job(run.job(), {}, benchmark_keys()));
  const History history = read_history(plan, run.journals());
  const Benchmark& source = *inputs.benchmarks.at(static_cast<size_t>(benchmark));
  // As the harness orders them: all questions under the first filter, then all under the next.
  std::vector<std::vector<std::string>> lines_by_filter;
  for (size_t question = 0; question < source.questions().size(); ++question) {
    const Record* record =
        history.records.find({benchmark, variant, static_cast<int32_t>(question)});
    if (record == nullptr) continue;
    std::vector<std::string> lines = source.samples(source.questions()[question], *record);
    lines_by_filter.resize(std::max(lines_by_filter.size(), lines.size()));
    for (size_t i = 0; i < lines.size(); ++i) lines_by_filter[i].push_back(std::move(lines[i]));
  }
  for (const std::vector<std::string>& lines : lines_by_filter) {
    for (const std::string& sample : lines) std::printf("%s\n", sample.c_str());
  }
  return 0;
}

}  // namespace prune_sweep
