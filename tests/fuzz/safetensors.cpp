#include "model/safetensors.hpp"

#include "fuzz/reader.hpp"

using namespace prune_sweep;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz(data, size, [](std::string_view file) {
    for (const auto& [name, view] : parse_safetensors(file, "fuzz.safetensors")) {
      expect(view.bytes.data() >= file.data());
      expect(view.bytes.data() + view.bytes.size() <= file.data() + file.size());
      size_t elements = 1;
      for (const int64_t dim : view.shape) elements *= static_cast<size_t>(dim);
      expect(elements * size_of(view.type) == view.bytes.size());
    }
  });
}
