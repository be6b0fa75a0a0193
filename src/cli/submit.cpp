#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>

#include "cli/job_inputs.hpp"
#include "cli/options.hpp"
#include "cli/run_files.hpp"
#include "cli/run_options.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/sweep/child_process.hpp"
#include "prune_sweep/sweep/command_output.hpp"
#include "prune_sweep/sweep/sbatch_script.hpp"
#include "prune_sweep/sweep/slurm.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

/// What a core of a CPU of our day does of a plan's FLOPs, where nothing has been measured: a small
/// model in bfloat16 on a server without bfloat16 units.
constexpr double kAssumedFlopsPerCore = 2e10;
constexpr int32_t kUsualCoresPerRank = 4;
constexpr int32_t kUsualRanks = 4;
constexpr double kSbatchPatience_s = 60;

struct NumberRow {
  const char* name;
  int32_t& (*target)(BatchJob& job);
};
constexpr std::array kNumbers{
    NumberRow{"nodes", [](BatchJob& j) -> int32_t& { return j.allocation.num_nodes; }},
    NumberRow{
        "ranks-per-node", [](BatchJob& j) -> int32_t& { return j.allocation.ranks_per_node; }},
    NumberRow{"cpus-per-rank", [](BatchJob& j) -> int32_t& { return j.allocation.cores_per_rank; }},
    NumberRow{"gpus-per-node", [](BatchJob& j) -> int32_t& { return j.allocation.gpus_per_node; }},
    NumberRow{"shards", [](BatchJob& j) -> int32_t& { return j.allocation.num_shards; }},
    NumberRow{"max-requeues", [](BatchJob& j) -> int32_t& { return j.max_requeues; }},
};

struct TextRow {
  const char* name;
  std::string& (*target)(BatchJob& job);
};
constexpr std::array kTexts{
    TextRow{"time", [](BatchJob& j) -> std::string& { return j.allocation.time; }},
    TextRow{"mem", [](BatchJob& j) -> std::string& { return j.allocation.memory; }},
    TextRow{"partition", [](BatchJob& j) -> std::string& { return j.allocation.partition; }},
    TextRow{"account", [](BatchJob& j) -> std::string& { return j.allocation.account; }},
    TextRow{"qos", [](BatchJob& j) -> std::string& { return j.allocation.qos; }},
    TextRow{"constraint", [](BatchJob& j) -> std::string& { return j.allocation.constraint; }},
    TextRow{"launcher", [](BatchJob& j) -> std::string& { return j.launcher; }},
};

int32_t number_of(const std::string& name, const std::string& text) {
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    bad_input("--" + name + "=" + printable(text), "is not a number");
  }
  return value;
}

/// Cores of the smallest node of the partition, where SLURM can be asked.
std::optional<int32_t> cores_of_node(const std::string& partition) {
  std::vector<std::string> command{"sinfo", "-h", "-o", "%c"};
  if (!partition.empty()) command.push_back("--partition=" + partition);
  const std::string text = run_command(command, kSbatchPatience_s).text;
  std::optional<int32_t> least;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    int32_t cores = 0;  // "32+" where nodes differ
    std::from_chars(text.data() + begin, text.data() + end, cores);
    if (cores > 0) least = std::min(least.value_or(cores), cores);
    begin = end + 1;
  }
  return least;
}

/// One rank for each GPU; on CPUs as many as the cores of a node allow.
void choose_ranks(Allocation& asked, bool has_ranks, bool has_cores) {
  if (has_ranks && has_cores) return;
  const auto node = cores_of_node(asked.partition);
  if (!has_ranks && asked.gpus_per_node > 0) asked.ranks_per_node = asked.gpus_per_node;
  const bool are_ranks_known = has_ranks || asked.gpus_per_node > 0;
  if (!has_cores) {
    const int32_t share = node.value_or(kUsualRanks * kUsualCoresPerRank) /
                          (are_ranks_known ? asked.ranks_per_node : 1);
    asked.cores_per_rank = std::clamp(share, 1, kUsualCoresPerRank);
  }
  if (!are_ranks_known) {
    asked.ranks_per_node =
        std::max(1, node ? *node / std::max(1, asked.cores_per_rank) : kUsualRanks);
  }
}

/// What the rows of the command line say.
BatchJob batch_job_of(const CommandLine& line) {
  BatchJob job;
  job.program = fs::canonical("/proc/self/exe");
  const auto take = [&line](const char* name, const auto& set) {
    const auto flag = line.flags.find(name);
    if (flag == line.flags.end()) return;
    if (flag->second.empty()) bad_input(std::string("--") + name, "needs a value");
    set(flag->second);
  };
  for (const NumberRow& row : kNumbers) {
    take(row.name, [&](const std::string& text) { row.target(job) = number_of(row.name, text); });
  }
  for (const TextRow& row : kTexts) {
    take(row.name, [&](const std::string& text) { row.target(job) = text; });
  }
  if (job.launcher != "mpirun" && job.launcher != "srun" && job.launcher != "none") {
    bad_input("--launcher=" + printable(job.launcher), "must be mpirun, srun or none");
  }
  if (job.launcher == "none") job.allocation.ranks_per_node = 1;
  choose_ranks(
      job.allocation,
      line.has("ranks-per-node") || job.launcher == "none",
      line.has("cpus-per-rank"));
  if (job.launcher == "none" && job.allocation.num_ranks() > 1) {
    bad_input("--launcher=none", "is one rank on one node", "Take mpirun or srun.");
  }
  return job;
}

/// FLOPs that a rank did in a second, over all units that earlier starts of this run have done.
std::optional<double> measured_flops_per_s(const RunDir& run) {
  if (!run.is_run()) return std::nullopt;
  const Plan plan = read_plan(run);
  double flops = 0;
  double elapsed_s = 0;
  for (const Attempt& attempt : read_history(plan, run.journals()).attempts) {
    const bool is_known = attempt.unit >= 0 && attempt.unit < std::ssize(plan.units);
    if (!is_known || attempt.outcome != "committed" || attempt.elapsed_s <= 0) continue;
    flops += plan.units[static_cast<size_t>(attempt.unit)].flops;
    elapsed_s += attempt.elapsed_s;
  }
  if (elapsed_s <= 0) return std::nullopt;
  return flops / elapsed_s;
}

std::string hours_text(double seconds) {
  const auto minutes = static_cast<int64_t>(std::ceil(seconds / 60));
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%ld:%02ld h", minutes / 60, minutes % 60);
  return text.data();
}

void print_estimate(std::FILE* out, const Plan& plan, const BatchJob& job, const RunDir& run) {
  const Allocation& asked = job.allocation;
  const PlanCost cost = plan_cost(plan);
  std::fprintf(
      out,
      "plan        %zu variants, %ld records in %zu units, %.3g TFLOP\n",
      plan.variants.size(),
      plan.num_records(),
      plan.units.size(),
      cost.flops / 1e12);
  std::fprintf(
      out,
      "allocation  %d node%s x %d rank%s x %d core%s, %d GPU%s a node, %s%s\n",
      asked.num_nodes,
      asked.num_nodes == 1 ? "" : "s",
      asked.ranks_per_node,
      asked.ranks_per_node == 1 ? "" : "s",
      asked.cores_per_rank,
      asked.cores_per_rank == 1 ? "" : "s",
      asked.gpus_per_node,
      asked.gpus_per_node == 1 ? "" : "s",
      asked.time.c_str(),
      asked.num_shards > 1 ? (", " + std::to_string(asked.num_shards) + " times").c_str() : "");
  const auto measured = measured_flops_per_s(run);
  const double rate = measured.value_or(kAssumedFlopsPerCore * asked.cores_per_rank);
  // More ranks than units have nothing to do.
  const double num_ranks = std::min<double>(
      static_cast<double>(asked.num_ranks()) * asked.num_shards,
      static_cast<double>(plan.units.size()));
  const double elapsed_s = cost.flops / (rate * num_ranks);
  std::fprintf(
      out,
      "estimate    about %s for the whole of it, if a rank does %.3g GFLOP/s (%s), %.0f start%s\n",
      hours_text(elapsed_s).c_str(),
      rate / 1e9,
      measured ? "measured in this run" : "assumed: the run's own ETA after some minutes is better",
      std::ceil(elapsed_s / (0.9 * time_limit_s(asked.time))),
      elapsed_s > 0.9 * time_limit_s(asked.time) ? "s" : "");
  if (asked.gpus_per_node > 0 && plan.context.device == "cpu") {
    std::fprintf(out, "note        this job computes on CPUs: the GPUs would be idle\n");
  }
}

/// Two jobs on one run would be in each other's way; the second would be refused when it starts.
void require_not_queued(const RunDir& run) {
  if (run.is_run() && !RunLock::if_free(run)) {
    bad_input(run.path().string(), "a start is running there", "Wait for it.");
  }
  const std::string job = noted_slurm_job(run);
  if (job.empty()) return;
  const QueueAnswer answer = ask_queue(job);
  if (answer.entries.empty()) return;
  bad_input(
      run.path().string(),
      "job " + job + " is in the queue for it already: " + queue_text(answer),
      "scancel " + job + ", or let it run.");
}

/// Files made for a submission; taken away again unless it succeeds.
class Traces {
 public:
  explicit Traces(const RunDir& run) : run_(run), is_new_(!fs::exists(run.path())) {}
  ~Traces() {
    if (is_kept_) return;
    std::error_code ignored;
    fs::remove(run_.script(), ignored);
    fs::remove(run_.submitted_job(), ignored);
    if (is_new_) fs::remove_all(run_.path(), ignored);
  }
  Traces(const Traces&) = delete;
  Traces& operator=(const Traces&) = delete;
  void keep() { is_kept_ = true; }

 private:
  const RunDir& run_;
  bool is_new_;
  bool is_kept_ = false;
};

std::string sbatch(const RunDir& run) {
  const CommandOutput output =
      run_command({"sbatch", "--parsable", run.script().string()}, kSbatchPatience_s);
  // JOB or JOB;CLUSTER
  const std::string job = output.text.substr(0, output.text.find_first_of(";\n"));
  const bool is_number = !job.empty() && job.find_first_not_of("0123456789") == std::string::npos;
  if (output.exit_status == 0 && is_number) return job;
  bad_input(
      "sbatch refuses the job",
      output.errors.empty() ? "it gives no reason" : output.errors,
      "Nothing was submitted or written.");
}

/// The options of `run` among those of `submit`, which the script hands on.
std::vector<std::string> handed_on(const CommandLine& line) {
  std::vector<std::string> options;
  for (const std::string& name : run_options()) {
    const auto flag = line.flags.find(name);
    if (flag == line.flags.end() || name == "shard") continue;
    options.push_back("--" + name + (flag->second.empty() ? "" : "=" + flag->second));
  }
  return options;
}

}  // namespace

std::vector<std::string> submit_options_with_value() {
  std::vector<std::string> names;
  for (const NumberRow& row : kNumbers) names.emplace_back(row.name);
  for (const TextRow& row : kTexts) names.emplace_back(row.name);
  return names;
}

int command_submit(const CommandLine& line) {
  std::vector<std::string> allowed = submit_options_with_value();
  allowed.emplace_back("dry-run");
  for (const std::string& name : run_options()) allowed.push_back(name);
  line.require_only(allowed, 1);
  run_limits(line, 0);
  BatchJob batch = batch_job_of(line);
  if (line.has("shard") && batch.allocation.num_shards > 1) {
    bad_input("--shard", "and --shards are given", "--shards submits all of them.");
  }
  const RunDir run(output_dir_of(line));
  run.require_usable();
  auto [job, inputs] = read_job_inputs(line, WeightsCheck::kFinite);
  // The device is looked for where the job runs.
  if (batch.allocation.gpus_per_node > 0) inputs.job.model.device = DeviceKind::kAuto;
  const Plan plan = plan_of(inputs);
  batch.log_dir = run.path() / "log";
  batch.arguments = {run.submitted_job().string()};
  for (std::string& option : handed_on(line)) batch.arguments.push_back(std::move(option));
  const std::string script = sbatch_script(batch);
  if (line.has("dry-run")) {
    // The script alone on standard output, for a file.
    print_estimate(stderr, plan, batch, run);
    std::fwrite(script.data(), 1, script.size(), stdout);
    return 0;
  }
  require_not_queued(run);
  print_estimate(stdout, plan, batch, run);
  Traces traces(run);
  run.create();
  write_file_atomically(run.submitted_job(), resolved_job_text(job));
  write_file_atomically(run.script(), script);
  const std::string number = sbatch(run);
  traces.keep();
  note_slurm_job(run, number);
  std::printf("script      %s\n", run.script().c_str());
  std::printf("submitted   job %s; prune-sweep status %s\n", number.c_str(), run.path().c_str());
  return 0;
}

}  // namespace prune_sweep
