#include "prune_sweep/sweep/slurm.hpp"

#include <cstdlib>
#include <ctime>

#include "catch.hpp"
#include "prune_sweep/sweep/command_output.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace {

/// Sets variables for as long as it lives; all others of SLURM are away.
class Variables {
 public:
  Variables(std::initializer_list<std::pair<const char*, const char*>> values) {
    for (const char* name : kNames) ::unsetenv(name);
    for (const auto& [name, value] : values) ::setenv(name, value, 1);
  }
  ~Variables() {
    for (const char* name : kNames) ::unsetenv(name);
  }
  Variables(const Variables&) = delete;
  Variables& operator=(const Variables&) = delete;

 private:
  static constexpr std::array kNames{
      "SLURM_JOB_END_TIME", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"};
};

double local_s(int year, int month, int day, int hour, int minute, int second) {
  tm parts{};
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  parts.tm_mday = day;
  parts.tm_hour = hour;
  parts.tm_min = minute;
  parts.tm_sec = second;
  parts.tm_isdst = -1;
  return static_cast<double>(std::mktime(&parts));
}

}  // namespace

TEST_CASE("what squeue 22.05 printed is read") {
  const auto entries = parse_queue(
      "3|RUNNING|None|n[1-2]|2026-11-26T04:00:12|2026-11-26T08:00:12\n"
      "4|PENDING|Resources||N/A|N/A\n"
      "5_1|PENDING|BeginTime||2026-11-26T04:12:31|2026-11-26T04:13:31\n"
      "slurm_load_jobs error: something\n");
  REQUIRE(entries.size() == 3);
  CHECK(
      entries[0] == QueueEntry{
                        "3",
                        "RUNNING",
                        "None",
                        "n[1-2]",
                        local_s(2026, 11, 26, 4, 0, 12),
                        local_s(2026, 11, 26, 8, 0, 12)});
  CHECK(entries[1] == QueueEntry{"4", "PENDING", "Resources", "", 0, 0});
  CHECK(entries[2].job == "5_1");
  CHECK(parse_queue("").empty());
}

TEST_CASE("the state of a job is one line") {
  CHECK(queue_text({{}, ""}) == "not in the queue any more");
  CHECK(queue_text({{}, "squeue: No such file"}) == "cannot be asked: squeue: No such file");
  const double start_s = local_s(2026, 11, 26, 4, 0, 0);
  const QueueEntry waits{"7", "PENDING", "Priority", "", start_s, 0};
  CHECK(queue_text({{waits}, ""}) == "PENDING (Priority), expected to start 2026-11-26 04:00");
  const QueueEntry runs{"7", "RUNNING", "None", "n1", start_s, start_s + 3600};
  CHECK(queue_text({{runs}, ""}) == "RUNNING on n1 until 2026-11-26 05:00");
  CHECK(
      queue_text(
          {{{"7_1", "RUNNING", "None", "n1", 0, 0}, {"7_2", "PENDING", "", "", 0, 0}}, ""}) ==
      "7_1 RUNNING on n1; 7_2 PENDING");
}

TEST_CASE("an allocation's end comes from the environment, else from the queue") {
  std::string asked;
  const auto ask = [&asked](const std::string& job) {
    asked = job;
    return QueueAnswer{{{"17", "RUNNING", "None", "n1", 1, 5000}}, ""};
  };
  {
    const Variables variables{};
    CHECK(!allocation_end_s(ask));
  }
  {
    const Variables variables{{"SLURM_JOB_END_TIME", "1764129600"}, {"SLURM_JOB_ID", "17"}};
    CHECK(allocation_end_s(ask) == 1764129600);
    CHECK(asked.empty());
  }
  for (const char* odd : {"", "soon", "0", "-1", "17x"}) {
    const Variables variables{{"SLURM_JOB_END_TIME", odd}, {"SLURM_JOB_ID", "17"}};
    CHECK(allocation_end_s(ask) == 5000);
    CHECK(asked == "17");
  }
  const Variables variables{{"SLURM_JOB_ID", "17"}};
  CHECK(!allocation_end_s([](const std::string&) { return QueueAnswer{{}, "no answer"}; }));
  CHECK(!allocation_end_s([](const std::string&) {
    return QueueAnswer{{{"17", "RUNNING", "", "n1", 1, 0}}, ""};
  }));
}

TEST_CASE("a run remembers its job") {
  const TempDir dir;
  const RunDir run(dir.path());
  CHECK(noted_slurm_job(run).empty());
  note_slurm_job(run, "17_2");
  CHECK(noted_slurm_job(run) == "17_2");
  dir.write("slurm.json", "{\"job\": \"17; rm -rf /\"}");
  CHECK(noted_slurm_job(run).empty());
  dir.write("slurm.json", "not json");
  CHECK(noted_slurm_job(run).empty());
}

TEST_CASE("the number of a job is that within its array") {
  const Variables alone{{"SLURM_JOB_ID", "18"}};
  CHECK(own_slurm_job() == "18");
  const Variables element{
      {"SLURM_JOB_ID", "18"}, {"SLURM_ARRAY_JOB_ID", "17"}, {"SLURM_ARRAY_TASK_ID", "2"}};
  CHECK(own_slurm_job() == "17_2");
}

TEST_CASE("another program's words come back, or why there are none") {
  const CommandOutput both = run_command({"sh", "-c", "echo out; echo err >&2; exit 3"}, 10);
  CHECK(both.text == "out\n");
  CHECK(both.errors == "err");
  CHECK(both.exit_status == 3);
  CHECK(run_command({"no-such-program-at-all"}, 10).exit_status == -1);
  CHECK(run_command({"no-such-program-at-all"}, 10).errors.find("no-such-program") == 0);
  const CommandOutput late = run_command({"sleep", "60"}, 0.2);
  CHECK(late.exit_status == -1);
  CHECK(late.errors.find("no answer") != std::string::npos);
  // More than a pipe holds.
  CHECK(
      run_command({"sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x"}, 10).text.size() == 300000);
}
