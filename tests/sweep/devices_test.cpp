#include "prune_sweep/sweep/devices.hpp"

#include "catch.hpp"

using namespace prune_sweep;

namespace {

constexpr const char* kFourCards =
    "GPU-5a2c1f3e-8d4b-4c7e-9a61-0f1d2e3c4b5a, NVIDIA A100-SXM4-80GB, 81920 MiB, 580.65.06, 8.0\n"
    "GPU-5a2c9b77-1e2d-4f3a-8b4c-5d6e7f8091a2, NVIDIA A100-SXM4-80GB, 81920 MiB, 580.65.06, 8.0\n"
    "GPU-c3d4e5f6-0718-4293-a4b5-c6d7e8f90a1b, NVIDIA A100-SXM4-80GB, 81920 MiB, 580.65.06, 8.0\n"
    "GPU-d4e5f607-1829-43a4-b5c6-d7e8f90a1b2c, NVIDIA A100-SXM4-80GB, 81920 MiB, 580.65.06, 8.0\n";

}  // namespace

TEST_CASE("a list of devices is read line by line") {
  const auto devices = parse_device_list(kFourCards);
  REQUIRE(devices.size() == 4);
  CHECK(devices[0].uuid == "GPU-5a2c1f3e-8d4b-4c7e-9a61-0f1d2e3c4b5a");
  CHECK(devices[3].name == "NVIDIA A100-SXM4-80GB");
  CHECK(devices[3].memory_bytes == int64_t{80} << 30);
  CHECK(devices[3].driver == "580.65.06");
  CHECK(devices[3].capability == 8.0);
  CHECK(dtypes_of(devices[3]) == "bfloat16, float16, float32");
  const auto turing = parse_device_list("GPU-2, Tesla T4, 15360 MiB, 535.183.01, 7.5\n");
  REQUIRE(turing.size() == 1);
  CHECK(dtypes_of(turing[0]) == "float16, float32");
  // What an old driver can be asked.
  const auto old = parse_device_list("GPU-3, Tesla T4, 15360 MiB\n");
  REQUIRE(old.size() == 1);
  CHECK(old[0].capability == 0);
  CHECK(dtypes_of(old[0]).empty());

  CHECK(parse_device_list("").empty());
  CHECK(parse_device_list("No devices were found\n").empty());
  CHECK(parse_device_list("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA "
                          "driver. Make sure that it is running.\n")
            .empty());
  const auto integrated = parse_device_list("GPU-1, NVIDIA GB10, [N/A]\r\n");
  REQUIRE(integrated.size() == 1);
  CHECK(integrated[0] == Device{"GPU-1", "NVIDIA GB10", 0, "", 0});
}

TEST_CASE("CUDA_VISIBLE_DEVICES leaves what CUDA itself would leave") {
  const auto all = parse_device_list(kFourCards);
  const auto visible = [&](const char* value) {
    std::string numbers;
    for (const Device& device : visible_devices(all, value)) {
      for (size_t i = 0; i < all.size(); ++i) {
        if (all[i] == device) numbers += std::to_string(i);
      }
    }
    return numbers;
  };
  CHECK(visible_devices(all, std::nullopt) == all);
  CHECK(visible("").empty());
  CHECK(visible("0,1,2,3") == "0123");
  CHECK(visible("2, 0") == "20");
  CHECK(visible("1,9,2") == "1");
  CHECK(visible("-1") == "");
  CHECK(visible("NoDevFiles").empty());
  CHECK(visible("GPU-d4e5f607-1829-43a4-b5c6-d7e8f90a1b2c,GPU-c3d4") == "32");
  const auto parts = visible_devices(all, "MIG-41b35014-745c-581f-9f6c-1d1e0b1c2d3e");
  REQUIRE(parts.size() == 1);
  CHECK(parts[0].uuid == "MIG-41b35014-745c-581f-9f6c-1d1e0b1c2d3e");
}

TEST_CASE("ranks of a host take one device after the other") {
  const auto all = parse_device_list(kFourCards);
  CHECK(!device_of({}, 0));
  CHECK(device_of({all[2]}, 0) == all[2]);
  // A launcher that has shown each rank a device of its own.
  CHECK(device_of({all[2]}, 3) == all[2]);
  for (int32_t rank = 0; rank < 4; ++rank) {
    CHECK(device_of(all, rank) == all[static_cast<size_t>(rank)]);
  }
  CHECK(device_of(all, 5) == all[1]);
}

TEST_CASE("a host without a driver has no device, and nothing is started to find out") {
  // On a host with one the list is the driver's affair.
  const DeviceList list = list_devices();
  CHECK(list.devices.empty() == !list.why_none.empty());
  for (const Device& device : list.devices) CHECK(!device.uuid.empty());
}
