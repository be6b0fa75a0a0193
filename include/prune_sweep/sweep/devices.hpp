/// \file
/// The GPUs that a rank may use, and which one it takes, without help from a launcher.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prune_sweep {

/// Devices of this compute capability and later multiply bfloat16.
inline constexpr double kBfloat16Capability = 8.0;

struct Device {
  std::string uuid;          ///< "GPU-..." or "MIG-...": what CUDA_VISIBLE_DEVICES takes
  std::string name;          ///< empty where it is not known
  int64_t memory_bytes = 0;  ///< 0: not known
  std::string driver;        ///< version; empty where it is not known
  double capability = 0;     ///< compute capability, such as 9.0; 0: not known
  bool operator==(const Device&) const = default;
};

/// Types that a device multiplies matrices in at full speed, by its compute capability: "bfloat16,
/// float16, float32".
std::string dtypes_of(const Device& device);

/// What `nvidia-smi --query-gpu=uuid,name,memory.total,driver_version,compute_cap
/// --format=csv,noheader` prints, a device a line in the order of their numbers. Lines that are
/// something else are left out; fields may be missing at the end.
std::vector<Device> parse_device_list(std::string_view text);

/// Those of a host's devices that CUDA_VISIBLE_DEVICES leaves, in its order: numbers, UUIDs, or
/// beginnings of UUIDs; the list ends at the first that is none, as CUDA has it. `variable` is its
/// value; nothing: it is not set.
std::vector<Device> visible_devices(
    const std::vector<Device>& all, const std::optional<std::string>& variable);

/// The device of the `local_rank`-th rank of a host: the only one, or one after the other. With
/// more ranks than devices some are shared. Nothing without devices.
std::optional<Device> device_of(const std::vector<Device>& visible, int32_t local_rank);

/// The devices of a host that a rank may use, or why there are none.
struct DeviceList {
  std::vector<Device> devices;
  std::string why_none;  ///< empty where there are some
};

/// Those of this host. Nobody is asked where no CUDA driver is loaded.
DeviceList list_devices();

}  // namespace prune_sweep
