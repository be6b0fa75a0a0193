#include "prune_sweep/core/job.hpp"

#include "fuzz/reader.hpp"

using namespace prune_sweep;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz(data, size, [](std::string_view text) {
    const std::vector<BenchmarkKeys> known{
        {"mmlu", BenchmarkKind::kMultipleChoice}, {"gsm8k", BenchmarkKind::kGeneration}};
    const Job job = parse_job(std::string(text), "fuzz.ini", "/base", {}, known);
    // What stands in RUN/job.ini is the same job.
    const std::string resolved = resolved_job_text(job);
    expect(resolved_job_text(parse_job(resolved, "job.ini", "/", {}, known)) == resolved);
    enumerate_variants(job, 28);
  });
}
