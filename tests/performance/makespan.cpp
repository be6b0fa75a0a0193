/// How long a plan's units take on so many workers, over the time of work that is shared out
/// without loss.
///
///     makespan PLAN.json SECONDS_PER_FLOP.json WORKERS...
///
/// SECONDS_PER_FLOP.json: {"mmlu": [...], ...}, one number for each unit that was measured. Prints
/// a line of JSON.
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>

#include <nlohmann/json.hpp>

#include "sweep/large_run.hpp"

namespace {

std::string text_of(const char* path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(std::string("cannot read ") + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
  using namespace prune_sweep;
  try {
    if (argc < 4)
      throw std::runtime_error("usage: makespan PLAN.json SECONDS_PER_FLOP.json WORKERS...");
    const Plan plan = plan_from_json(text_of(argv[1]), argv[1]);
    const auto measured = nlohmann::json::parse(text_of(argv[2]));
    std::vector<std::vector<double>> seconds_per_flop;
    for (const BenchmarkPlan& benchmark : plan.benchmarks) {
      seconds_per_flop.push_back(measured.at(benchmark.name).get<std::vector<double>>());
    }
    auto result = nlohmann::json::array();
    for (int i = 3; i < argc; ++i) {
      const int workers = std::stoi(argv[i]);
      LargeRun run(plan, workers, seconds_per_flop, 0);
      const double ratio = run.run();
      result.push_back(
          {{"workers", workers},
           {"units", plan.units.size()},
           {"makespan_s", run.makespan_s()},
           {"over_ideal", ratio}});
    }
    std::printf("%s\n", result.dump().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "makespan: %s\n", error.what());
    return 2;
  }
}
