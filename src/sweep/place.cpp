#include "prune_sweep/sweep/place.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "prune_sweep/core/cores.hpp"
#include "prune_sweep/core/host.hpp"

namespace prune_sweep {

namespace {

constexpr int64_t kMiB = 1 << 20;

/// The number a variable holds; 0 for none. Of a list that SLURM abbreviates, `16(x2)`, the first.
int64_t number_in(const std::string& text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return std::max<int64_t>(value, 0);
}

}  // namespace

Place place_of(const HostCounts& host, const Environment& variable) {
  Place place;
  place.num_cores = host.num_cores;
  place.memory_bytes = host.memory_bytes;
  // The step of mpirun's daemon may have been given less than the job has: both are asked.
  const int64_t slurm_cores = std::max(
      number_in(variable("SLURM_CPUS_ON_NODE")), number_in(variable("SLURM_JOB_CPUS_PER_NODE")));
  if (slurm_cores > 0) {
    place.num_cores = static_cast<int32_t>(std::min<int64_t>(slurm_cores, host.num_cores));
  }
  place.num_threads = std::max(1, place.num_cores / std::max(1, host.num_ranks));
  const int64_t asked = number_in(variable("SLURM_CPUS_PER_TASK"));
  if (asked > 0) {
    place.num_threads = static_cast<int32_t>(std::min<int64_t>(asked, place.num_cores));
  }
  const int64_t slurm_memory = number_in(variable("SLURM_MEM_PER_NODE")) * kMiB;
  if (slurm_memory > 0 && (place.memory_bytes == 0 || slurm_memory < place.memory_bytes)) {
    place.memory_bytes = slurm_memory;
  }
  return place;
}

Place find_place(int32_t local_rank, int32_t num_ranks) {
  const int64_t pages = std::max(0L, ::sysconf(_SC_PHYS_PAGES));
  Place place = place_of(
      {count_cores().usable, pages * ::sysconf(_SC_PAGE_SIZE), num_ranks}, process_variable);
  place.host = host_name();
  place.devices = list_devices().devices;
  place.device = device_of(place.devices, local_rank);
  return place;
}

Hello hello_of(const Place& place, const std::string& program_version) {
  Hello hello{
      .program_version = program_version,
      .host = place.host,
      .num_cores = place.num_cores,
      .num_threads = place.num_threads,
      .memory_bytes = place.memory_bytes,
      .device_uuids = {},
      .device_names = {},
      .device_uuid = place.device ? place.device->uuid : ""};
  for (const Device& device : place.devices) {
    hello.device_uuids.push_back(device.uuid);
    hello.device_names.push_back(
        device.name + (device.memory_bytes > 0
                           ? " " + std::to_string(device.memory_bytes / (1 << 30)) + " GiB"
                           : ""));
  }
  return hello;
}

}  // namespace prune_sweep
