/// prune-sweep: the program that users start.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "cli/options.hpp"
#include "cli/run_options.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/inputs/inputs.hpp"
#include "prune_sweep/sweep/child_process.hpp"

namespace prune_sweep {
namespace {

constexpr std::string_view kHelp =
    R"(prune-sweep: which parts of a language model matter

  [mpirun -n N] prune-sweep [run] [JOB.ini] [--section.key=value ...]
                                 evaluate all variants of the job; resumes by itself. No JOB: the bundled demo.
                                 --deadline=TIME, --shard=K/N, --retry-failed, --no-gates: see README
  prune-sweep plan [JOB.ini] [--json]
                                 variants, units, questions, cost, what sharing saves; loads no weights
  prune-sweep check [JOB.ini] [--digest]
                                 everything that can be known to fail; with --digest the weights' SHA-256 too
  prune-sweep status RUN [--json] [--watch] [--exit-code] [--records]
                                 how far a run is
  prune-sweep submit [JOB.ini] [--nodes=N] [--gpus-per-node=G] [--time=HH:MM:SS] [--dry-run] ...
                                 checks the job and gives it to SLURM; see slurm/README.md for all options
  prune-sweep explain RUN VARIANT
                                 why a variant is not done yet, or what happened to it
  prune-sweep verify RUN | ARCHIVE
                                 finds any altered byte of journals or archive, and numbers that contradict each other
  prune-sweep pack RUN           journals -> archive.h5
  prune-sweep merge OUT RUN...   one run directory from several; resumable as any other
  prune-sweep samples RUN --benchmark=B --variant=V
                                 JSON Lines in the samples format of lm-evaluation-harness
  prune-sweep export JOB.ini VARIANT DIR
                                 the variant as a model directory that transformers loads
  prune-sweep tokenize MODEL_DIR JSON Lines: {"text"} -> {"ids"}, {"ids"} -> {"text"}
  prune-sweep score MODEL_DIR [--dtype float32|bfloat16|float16] [--device cpu|cuda] [--drop L,...] [--magnitude PERCENT]
                                 JSON Lines: log-likelihoods, next tokens, generated text
  prune-sweep --print-default-job   a job file with every key
  prune-sweep --print-output-dir [JOB.ini]   the run directory of a job
  prune-sweep --version | --help

Exit status: 0 complete, 2 bad input, 3 partial, 74 disk, 75 stopped and resumable.
)";

struct CommandRow {
  std::string_view name;
  Command run;
};

constexpr std::array kCommands{
    CommandRow{"run", command_run},
    CommandRow{"plan", command_plan},
    CommandRow{"check", command_check},
    CommandRow{"status", command_status},
    CommandRow{"tokenize", command_tokenize},
    CommandRow{"samples", command_samples},
    CommandRow{"explain", command_explain},
    CommandRow{"submit", command_submit},
    CommandRow{"verify", command_verify},
    CommandRow{"pack", command_pack},
    CommandRow{"merge", command_merge},
};

/// Commands that need the engine, which only the evaluator program has.
constexpr std::array<std::string_view, 2> kEvaluatorCommands{"score", "export"};

/// Becomes the evaluator program.
[[noreturn]] void become_evaluator(char** argv) {
  const std::string program = sibling_program("prune-sweep-evaluator").string();
  ::execv(program.c_str(), argv);
  throw Error(ExitStatus::kInternal, program + ": cannot be started", std::strerror(errno));
}

const CommandRow& take_command(CommandLine& line) {
  if (!line.positional.empty()) {
    for (const CommandRow& row : kCommands) {
      if (row.name != line.positional.front()) continue;
      line.positional.erase(line.positional.begin());
      line.command = row.name;
      return row;
    }
    // A word that is neither a command nor looks like a job file is a slip of the pen, not a job.
    const std::string& word = line.positional.front();
    if (word.find_first_of("./") == std::string::npos && !std::filesystem::exists(word)) {
      std::vector<std::string_view> names(kEvaluatorCommands.begin(), kEvaluatorCommands.end());
      for (const CommandRow& row : kCommands) names.push_back(row.name);
      bad_input(
          "'" + printable(word) + "'",
          "is no command and no job file",
          "Commands: " + listed(names) + ".");
    }
  }
  line.command = "run";
  return kCommands.front();
}

int dispatch(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (std::find(kEvaluatorCommands.begin(), kEvaluatorCommands.end(), first) !=
      kEvaluatorCommands.end()) {
    become_evaluator(argv);
  }
  CommandLine line = parse_command_line(argc, argv);
  if (line.has("help")) {
    std::fwrite(kHelp.data(), 1, kHelp.size(), stdout);
    return 0;
  }
  if (line.has("version")) {
    std::printf("prune-sweep %s\n", program_build());
    return 0;
  }
  if (line.has("print-default-job")) {
    std::fputs(default_job_text(benchmark_keys()).c_str(), stdout);
    return 0;
  }
  if (line.flags.erase("print-output-dir") > 0) {
    line.command = "run";
    line.require_only(run_options(), 1);
    std::printf("%s\n", output_dir_of(line).c_str());
    return 0;
  }
  return take_command(line).run(line);
}

}  // namespace
}  // namespace prune_sweep

int main(int argc, char** argv) {
  using namespace prune_sweep;
  spdlog::set_default_logger(spdlog::stderr_color_st("console"));
  spdlog::set_pattern("prune-sweep: %v");
  try {
    return dispatch(argc, argv);
  } catch (const Error& error) {
    spdlog::error("{}", error.what());
    return static_cast<int>(error.status());
  } catch (const std::exception& error) {
    spdlog::error("internal error: {}", error.what());
    return static_cast<int>(ExitStatus::kInternal);
  }
}
