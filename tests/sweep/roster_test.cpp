#include "prune_sweep/sweep/roster.hpp"

#include "catch.hpp"

using namespace prune_sweep;

namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

Hello hello(const std::string& host, const std::string& device = "") {
  Hello hello{
      .program_version = "0.1.0 (abc)",
      .host = host,
      .num_cores = 16,
      .num_threads = 4,
      .memory_bytes = 64 * kGiB};
  hello.device_uuid = device;
  if (!device.empty()) {
    hello.device_uuids = {"GPU-a", "GPU-b"};
    hello.device_names = {"A100 80 GiB", "A100 80 GiB"};
  }
  return hello;
}

}  // namespace

TEST_CASE("ranks of the same build are welcome, others are refused by name") {
  Roster roster(hello("n1"), 4, DeviceUse::kNone);
  CHECK(roster.add(1, hello("n1")).empty());
  CHECK(!roster.is_complete());
  Hello other = hello("n2");
  other.program_version = "0.1.0 (def)";
  CHECK(
      roster.add(2, other) ==
      "rank 2 on n2 is refused (it is prune-sweep 0.1.0 (def), rank 0 is 0.1.0 (abc)) Use the same "
      "build on all hosts.");
  CHECK(roster.add(3, hello("n2")).empty());
  CHECK(roster.is_complete());
  CHECK(roster.host_of(2) == "n2");
  CHECK(roster.is_on_own_host(1));
  CHECK(!roster.is_on_own_host(3));
}

TEST_CASE("a GPU has one rank, unless it is said to have more") {
  {
    Roster roster(hello("n1", "GPU-a"), 3, DeviceUse::kOwn);
    CHECK(roster.add(1, hello("n1", "GPU-b")).empty());
    const std::string refusal = roster.add(2, hello("n1", "GPU-b"));
    CHECK(refusal.find("rank 2 on n1 is refused (GPU-b is rank 1's)") == 0);
    CHECK(refusal.find("--allow-gpu-sharing") != std::string::npos);
    // The same rank again, and the same name on another host.
    CHECK(roster.add(1, hello("n1", "GPU-b")).empty());
    CHECK(roster.add(2, hello("n2", "GPU-b")).empty());
  }
  for (const DeviceUse use : {DeviceUse::kNone, DeviceUse::kShared}) {
    Roster roster(hello("n1", "GPU-a"), 2, use);
    CHECK(roster.add(1, hello("n1", "GPU-a")).empty());
  }
  // Without devices there is nothing to take.
  Roster roster(hello("n1"), 2, DeviceUse::kOwn);
  CHECK(roster.add(1, hello("n1")).empty());
}

TEST_CASE("hosts, devices and memory are a table, the launch is a line") {
  Roster roster(hello("n1", "GPU-a"), 6, DeviceUse::kOwn);
  roster.add(1, hello("n1", "GPU-b"));
  roster.add(3, hello("a-longer-name", "GPU-b"));
  roster.add(2, hello("a-longer-name", "GPU-a"));
  CHECK(
      roster.table() ==
      "host           ranks  cores      memory  devices\n"
      "n1             0-1       16    64.0 GiB  2 x A100 80 GiB\n"
      "a-longer-name  2-3       16    64.0 GiB  2 x A100 80 GiB\n"
      "nothing heard of ranks 4-5 so far\n");
  roster.add(5, hello("n3"));
  CHECK(
      roster.table().find("n3             5         16    64.0 GiB  no GPU\n") !=
      std::string::npos);
  CHECK(roster.table().find("nothing heard of ranks 4 so far") != std::string::npos);
  CHECK(
      roster.launch_line({Launcher::kMpirun, RankLoss::kSurvivable}) ==
      "launched by mpirun: 6 ranks on 3 hosts, 4 threads of 16 cores a rank; rank loss: "
      "survivable");
  CHECK(
      Roster(hello("n1"), 1, DeviceUse::kNone).launch_line({}) ==
      "launched alone: 1 rank on 1 host, 4 threads of 16 cores a rank; rank loss: fatal (the only "
      "one)");
}
