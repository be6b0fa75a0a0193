#include <algorithm>
#include <cstdio>

#include "cli/options.hpp"
#include "cli/run_files.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/clock.hpp"
#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/inputs/inputs.hpp"
#include "prune_sweep/sweep/reporter.hpp"

namespace prune_sweep {

namespace {

/// One of the runs that are merged.
struct Source {
  RunDir run;
  Plan plan;
};

std::vector<Source> read_sources(const std::vector<std::string>& paths) {
  std::vector<Source> sources;
  for (const std::string& path : paths) {
    const RunDir run(path);
    run.require_run();
    sources.push_back({run, read_plan(run)});
    const PlanContext& first = sources.front().plan.context;
    const PlanContext& own = sources.back().plan.context;
    if (own.model_sha256 != first.model_sha256 || own.tokenizer_sha256 != first.tokenizer_sha256 ||
        own.dtype != first.dtype || own.device != first.device) {
      bad_input(path, "is of another model, dtype or device than " + paths.front());
    }
  }
  return sources;
}

/// As a job file's `variant` line says it whatever its magnitude-scope: the default scope has no
/// word in the canonical text.
std::string job_edits_text(const Variant& variant) {
  std::string text;
  for (const Edit& edit : variant.edits) {
    if (!text.empty()) text += ", ";
    text += edits_text({edit});
    if (info(edit.kind).takes_percent && edit.scope == MagnitudeScope::kTensor) text += " tensor";
  }
  return text;
}

/// The first run's job, and the variants that only later ones have.
Job merged_job(const std::vector<Source>& sources) {
  Job job = read_job(sources.front().run.job(), {}, benchmark_keys());
  std::vector<Variant> variants = sources.front().plan.variants;
  for (const Source& source : sources) {
    for (const Variant& variant : source.plan.variants) {
      const auto known = std::find_if(variants.begin(), variants.end(), [&](const Variant& other) {
        return other.name == variant.name;
      });
      if (known == variants.end() && variant.repeat > 0) {
        variants.push_back(variant);
        job.sweep.repeat_baseline = std::max(job.sweep.repeat_baseline, variant.repeat);
      } else if (known == variants.end()) {
        variants.push_back(variant);
        job.sweep.variants.push_back({variant.name, job_edits_text(variant)});
      } else if (computed_text(*known) != computed_text(variant)) {
        bad_input(
            source.run.path().string() + ": variant " + variant.name + " is `" +
                edits_text(variant.edits) + "`",
            "an earlier run calls `" + edits_text(known->edits) + "` so",
            "Rename one in its job and start that run again: its records are kept.");
      }
    }
  }
  return job;
}

Plan merged_plan(const std::vector<Source>& sources, const Job& job) {
  const Plan& first = sources.front().plan;
  Plan plan = make_plan(
      first.context,
      first.shape,
      enumerate_variants(job, first.shape.num_layers),
      first.benchmarks);
  plan.gates = job.gates;
  return plan;
}

/// What one run gave: all its counts.
void print_source(const RunDir& run, const History& history, int64_t num_new) {
  std::printf(
      "%s: %ld records here, %ld of them new, %ld foreign, %lu bytes unreadable\n",
      run.path().c_str(),
      history.records.num_records(),
      num_new,
      history.num_foreign_records,
      history.num_unreadable_bytes);
}

/// Copies every entry that can be read, file by file, behind a start of its own.
History merge_journals(
    const RunDir& out, const Plan& plan, const std::vector<Source>& sources, StartEntry start) {
  Sha256 run_ids;
  start.started_s = now_s();
  for (const Source& source : sources) {
    const History history = read_history(source.plan, source.run.journals());
    if (history.starts.empty()) continue;
    run_ids.field(history.starts.front().run_id);
    start.started_s = std::min(start.started_s, history.starts.front().started_s);
  }
  start.run_id = run_ids.hex().substr(0, 16);
  HistoryBuilder merged(plan);
  Journal journal = Journal::create(out.next_journal());
  const auto add = [&](const JournalEntry& entry) {
    journal.append(entry);
    merged.add(entry);
  };
  add(start);
  int64_t num_records = 0;
  for (const Source& source : sources) {
    HistoryBuilder own(plan);
    for (const auto& path : source.run.journals()) {
      const Replay file = replay(read_text_file(path));
      own.add(file);
      for (const JournalEntry& entry : file.entries) {
        if (!std::holds_alternative<StartEntry>(entry)) add(entry);
      }
      journal.commit();
    }
    const int64_t before = std::exchange(num_records, merged.history().records.num_records());
    print_source(source.run, own.take(), num_records - before);
  }
  return merged.take();
}

void write_status(const RunDir& out, const Plan& plan, const History& history) {
  RunStatus status;
  status.run_id = history.starts.front().run_id;
  status.num_records = history.records.num_records();
  status.num_records_total = plan.num_records();
  status.num_records_at_start = status.num_records;
  const bool is_complete = status.num_records == status.num_records_total;
  status.state = is_complete ? "complete" : "stopped";
  status.num_variants = static_cast<int32_t>(plan.variants.size());
  for (int32_t variant = 0; variant < status.num_variants; ++variant) {
    status.num_variants_complete += history.records.is_complete(variant) ? 1 : 0;
  }
  status.started_s = status.now_s = now_s();
  write_file_atomically(out.status(), status_json(status));
  const ExitStatus end = is_complete ? ExitStatus::kComplete : ExitStatus::kResumable;
  write_file_atomically(out.done(), std::to_string(static_cast<int>(end)) + "\n");
}

}  // namespace

int command_merge(const CommandLine& line) {
  line.require_only({}, SIZE_MAX);
  if (line.positional.size() < 2) bad_input("merge", "needs a new run directory and runs to merge");
  const RunDir out(std::filesystem::absolute(line.positional.front()).lexically_normal());
  const std::vector<Source> sources =
      read_sources({line.positional.begin() + 1, line.positional.end()});
  if (out.is_run()) {
    bad_input(out.path().string(), "is a run already", "Name a new or empty folder.");
  }
  out.require_usable();
  Job job = merged_job(sources);
  job.output_dir = out.path();
  const Plan plan = merged_plan(sources, job);

  out.create();
  const RunLock lock(out);
  const History history =
      merge_journals(out, plan, sources, {"", line.text, PRUNE_SWEEP_VERSION, 0});
  write_file_atomically(out.job(), resolved_job_text(job));
  write_file_atomically(out.plan(), plan_to_json(plan));
  write_archive_of(out, plan, history);
  write_status(out, plan, history);
  std::printf(
      "%s: %ld of %ld records of %zu variants; of %ld second computations %ld differed\n",
      out.path().c_str(),
      history.records.num_records(),
      plan.num_records(),
      plan.variants.size(),
      history.num_duplicates_same + history.num_duplicates_different,
      history.num_duplicates_different);
  return 0;
}

}  // namespace prune_sweep
