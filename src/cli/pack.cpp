#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "cli/git_commit.hpp"
#include "cli/options.hpp"
#include "cli/run_files.hpp"
#include "prune_sweep/archive/archive.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/sweep/history.hpp"
#include "prune_sweep/sweep/run_dir.hpp"

namespace prune_sweep {

namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

Provenance provenance_of(const RunDir& run, const History& history) {
  Provenance provenance;
  provenance.job = read_text_file(run.job());
  provenance.program_version = PRUNE_SWEEP_VERSION;
  provenance.git_commit = PRUNE_SWEEP_GIT_COMMIT;
  provenance.created_utc = utc_now();
  if (!history.starts.empty()) {
    provenance.run_id = history.starts.front().run_id;
    provenance.command_line = history.starts.back().command_line;
  }
  for (const WorkerEntry& worker : history.workers) {
    provenance.torch_version = worker.torch_version;
    provenance.device = worker.device;
    if (std::find(provenance.hosts.begin(), provenance.hosts.end(), worker.host) ==
        provenance.hosts.end()) {
      provenance.hosts.push_back(worker.host);
    }
  }
  return provenance;
}

QuarantineAudit audit_of(const Plan& plan, const Quarantine& quarantine) {
  const BenchmarkPlan& benchmark = plan.benchmarks.at(static_cast<size_t>(quarantine.benchmark));
  const QuestionInfo& question = benchmark.questions.at(static_cast<size_t>(quarantine.question));
  std::vector<std::string> variants;
  for (const int32_t variant : quarantine.variants) {
    variants.push_back(plan.variants.at(static_cast<size_t>(variant)).name);
  }
  return {benchmark.name, question.subject, question.doc_id, listed(variants), quarantine.reason};
}

Audit audit_of(const Plan& plan, const History& history) {
  Audit audit;
  audit.num_duplicates_compared = history.num_duplicates_same + history.num_duplicates_different;
  audit.num_duplicates_different = history.num_duplicates_different;
  const double first_s = history.starts.empty() ? 0 : history.starts.front().started_s;
  for (const Attempt& attempt : history.attempts) {
    audit.units.push_back(
        {attempt.unit,
         attempt.attempt,
         attempt.rank,
         attempt.host,
         attempt.started_s - first_s,
         attempt.elapsed_s,
         attempt.outcome,
         attempt.phases_s});
  }
  std::vector<double> starts;
  for (const StartEntry& start : history.starts) starts.push_back(start.started_s - first_s);
  fill_idle(audit.units, starts);
  audit.variant_tokens = history.records.variant_tokens();
  audit.at_work_s = seconds_at_work(audit.units);
  for (const Quarantine& quarantine : history.quarantines) {
    audit.quarantined.push_back(audit_of(plan, quarantine));
  }
  return audit;
}

}  // namespace

Plan read_plan(const RunDir& run) {
  return plan_from_json(read_text_file(run.plan()), run.plan().string());
}

void write_archive_of(const RunDir& run, const Plan& plan, const History& history) {
  write_archive(
      run.archive(), plan, history.records, provenance_of(run, history), audit_of(plan, history));
}

int command_pack(const CommandLine& line) {
  line.require_only({}, 1);
  if (line.positional.empty()) bad_input("pack", "needs a run directory");
  const RunDir run(line.positional.front());
  run.require_run();
  // While a start goes on it has the lock, and what is committed so far is packed.
  const std::optional<RunLock> lock = RunLock::if_free(run);
  const Plan plan = read_plan(run);
  write_archive_of(run, plan, read_history(plan, run.journals()));
  return 0;
}

}  // namespace prune_sweep
