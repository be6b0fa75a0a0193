#include "prune_sweep/sweep/devices.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "prune_sweep/sweep/command_output.hpp"

namespace prune_sweep {

namespace {

/// Without a persistent driver every question wakes the devices up, eight of them for half a
/// minute.
constexpr double kPatience_s = 60;
constexpr int64_t kMiB = 1 << 20;

std::string_view trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(" \t\r"), text.size());
  const size_t end = text.find_last_not_of(" \t\r");
  return end == std::string_view::npos ? "" : text.substr(begin, end + 1 - begin);
}

std::string_view take_until(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view front = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return trimmed(front);
}

/// The number that `text` begins with, or 0.
template <typename Number>
Number number_at(std::string_view text) {
  Number number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

bool is_uuid(std::string_view text) { return text.starts_with("GPU-") || text.starts_with("MIG-"); }

/// The device that an entry of CUDA_VISIBLE_DEVICES means.
std::optional<Device> named(const std::vector<Device>& all, std::string_view entry) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(entry.data(), entry.data() + entry.size(), number);
  if (error == std::errc{} && end == entry.data() + entry.size()) {
    return number < all.size() ? std::optional(all[number]) : std::nullopt;
  }
  if (!is_uuid(entry)) return std::nullopt;
  const auto found = std::find_if(all.begin(), all.end(), [&](const Device& device) {
    return std::string_view(device.uuid).starts_with(entry);
  });
  if (found != all.end()) return *found;
  // Parts of a device are not in the list of devices.
  if (entry.starts_with("MIG-")) return Device{std::string(entry), "part of a GPU", 0, "", 0};
  return std::nullopt;
}

}  // namespace

std::vector<Device> parse_device_list(std::string_view text) {
  std::vector<Device> devices;
  while (!text.empty()) {
    std::string_view line = text.substr(0, std::min(text.find('\n'), text.size()));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    Device device;
    device.uuid = take_until(line, ',');
    device.name = take_until(line, ',');
    // "81559 MiB"; "[N/A]" where memory is the host's
    device.memory_bytes = number_at<int64_t>(take_until(line, ',')) * kMiB;
    device.driver = take_until(line, ',');
    device.capability = number_at<double>(take_until(line, ','));
    if (is_uuid(device.uuid)) devices.push_back(std::move(device));
  }
  return devices;
}

std::vector<Device> visible_devices(
    const std::vector<Device>& all, const std::optional<std::string>& variable) {
  if (!variable) return all;
  std::vector<Device> visible;
  std::string_view rest = *variable;
  while (!rest.empty()) {
    auto device = named(all, take_until(rest, ','));
    if (!device) break;
    visible.push_back(std::move(*device));
  }
  return visible;
}

std::optional<Device> device_of(const std::vector<Device>& visible, int32_t local_rank) {
  if (visible.empty()) return std::nullopt;
  return visible[static_cast<size_t>(local_rank) % visible.size()];
}

std::string dtypes_of(const Device& device) {
  if (device.capability == 0) return "";
  return device.capability < kBfloat16Capability ? "float16, float32"
                                                 : "bfloat16, float16, float32";
}

DeviceList list_devices() {
  std::error_code ignored;
  if (!std::filesystem::exists("/dev/nvidiactl", ignored)) {
    return {{}, "no CUDA driver is loaded on this host"};
  }
  const auto ask = [](const std::string& fields) {
    return parse_device_list(
        run_command({"nvidia-smi", "--query-gpu=" + fields, "--format=csv,noheader"}, kPatience_s)
            .text);
  };
  std::vector<Device> all = ask("uuid,name,memory.total,driver_version,compute_cap");
  // A driver older than a field refuses the question.
  if (all.empty()) all = ask("uuid,name,memory.total");
  if (all.empty()) return {{}, "a CUDA driver is loaded, but nvidia-smi names no device"};
  const char* variable = std::getenv("CUDA_VISIBLE_DEVICES");
  const std::vector<Device> visible = visible_devices(
      all, variable != nullptr ? std::optional<std::string>(variable) : std::nullopt);
  if (!visible.empty()) return {visible, ""};
  return {{}, "CUDA_VISIBLE_DEVICES=" + std::string(variable) + " leaves none of this host's"};
}

}  // namespace prune_sweep
