#include "prune_sweep/sweep/place.hpp"

#include <map>

#include "catch.hpp"

using namespace prune_sweep;

namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

Place place_with(const HostCounts& host, const std::map<std::string, std::string>& variables) {
  return place_of(host, [&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  });
}

}  // namespace

TEST_CASE("the cores of a host are shared out among its ranks") {
  const Place place = place_with({16, 64 * kGiB, 4}, {});
  CHECK(place.num_cores == 16);
  CHECK(place.num_threads == 4);
  CHECK(place.memory_bytes == 64 * kGiB);
  CHECK(place_with({2, 0, 8}, {}).num_threads == 1);
}

TEST_CASE("of a host that SLURM has divided a job uses its own part") {
  const std::map<std::string, std::string> variables{
      {"SLURM_CPUS_ON_NODE", "8"}, {"SLURM_MEM_PER_NODE", "2048"}};
  const Place place = place_with({64, 256 * kGiB, 4}, variables);
  CHECK(place.num_cores == 8);
  CHECK(place.num_threads == 2);
  CHECK(place.memory_bytes == 2 * kGiB);
  CHECK(place_with({64, 0, 4}, {{"SLURM_CPUS_PER_TASK", "6"}}).num_threads == 6);
  // Nodes that pose as larger ones, and words that are no numbers.
  CHECK(place_with({2, 0, 1}, {{"SLURM_CPUS_ON_NODE", "4"}}).num_cores == 2);
  CHECK(place_with({2, 0, 1}, {{"SLURM_CPUS_PER_TASK", "4"}}).num_threads == 2);
  CHECK(place_with({8, 0, 2}, {{"SLURM_CPUS_ON_NODE", "many"}}).num_threads == 4);
}

TEST_CASE("a rank says of itself what the others need to know") {
  Place place{.host = "n1", .num_cores = 8, .num_threads = 2, .memory_bytes = kGiB};
  place.devices = {{"GPU-a", "A100", 80 * kGiB}, {"GPU-b", "", 0}};
  place.device = place.devices[1];
  const Hello hello = hello_of(place, "0.1.0 (abc)");
  CHECK(hello.program_version == "0.1.0 (abc)");
  CHECK(hello.host == "n1");
  CHECK(hello.num_threads == 2);
  CHECK(hello.device_uuids == std::vector<std::string>{"GPU-a", "GPU-b"});
  CHECK(hello.device_names == std::vector<std::string>{"A100 80 GiB", ""});
  CHECK(hello.device_uuid == "GPU-b");
  CHECK(hello_of({}, "").device_uuid.empty());
}

TEST_CASE("this host has a name, cores and memory") {
  const Place place = find_place(0, 1);
  CHECK(!place.host.empty());
  CHECK(place.num_cores >= 1);
  CHECK(place.num_threads >= 1);
  CHECK(place.memory_bytes > 0);
}
