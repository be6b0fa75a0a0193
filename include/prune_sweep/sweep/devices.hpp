/// \file
/// The GPUs that a rank may use, and which one it takes, without help from a launcher.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prune_sweep {

struct Device {
  std::string uuid;          ///< "GPU-..." or "MIG-...": what CUDA_VISIBLE_DEVICES takes
  std::string name;          ///< empty where it is not known
  int64_t memory_bytes = 0;  ///< 0: not known
  bool operator==(const Device&) const = default;
};

/// What `nvidia-smi --query-gpu=uuid,name,memory.total --format=csv,noheader` prints, a device a
/// line in the order of their numbers. Lines that are something else are left out.
std::vector<Device> parse_device_list(std::string_view text);

/// Those of a host's devices that CUDA_VISIBLE_DEVICES leaves, in its order: numbers, UUIDs, or
/// beginnings of UUIDs; the list ends at the first that is none, as CUDA has it. `variable` is its
/// value; nothing: it is not set.
std::vector<Device> visible_devices(
    const std::vector<Device>& all, const std::optional<std::string>& variable);

/// The device of the `local_rank`-th rank of a host: the only one, or one after the other. With
/// more ranks than devices some are shared. Nothing without devices.
std::optional<Device> device_of(const std::vector<Device>& visible, int32_t local_rank);

/// The visible devices of this host. Empty where no CUDA driver is loaded; nobody is asked then.
std::vector<Device> list_devices();

}  // namespace prune_sweep
