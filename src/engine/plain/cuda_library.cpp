#include "engine/plain/cuda_library.hpp"

#include <ATen/Context.h>
#include <dlfcn.h>
#include <link.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

namespace fs = std::filesystem;

/// The folder of the libtorch that this process runs with.
fs::path torch_library_dir() {
  fs::path dir;
  const auto look_at = [](dl_phdr_info* loaded, size_t, void* found) {
    const fs::path path(loaded->dlpi_name);
    if (!path.filename().string().starts_with("libtorch_cpu.so")) return 0;
    *static_cast<fs::path*>(found) = path.parent_path();
    return 1;
  };
  ::dl_iterate_phdr(look_at, &dir);
  return dir;
}

}  // namespace

void load_cuda_library() {
  const fs::path library = torch_library_dir() / "libtorch_cuda.so";
  if (!fs::exists(library)) {
    bad_input(
        "device=cuda",
        "this libtorch has no CUDA: there is no " + library.string(),
        "./dev build --cuda takes one that has; device = cpu works with any.");
  }
  // It registers itself; what it registers is looked for by whoever asks for a device first.
  if (::dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* why = ::dlerror();
    bad_input("device=cuda: " + library.string() + " cannot be loaded", why != nullptr ? why : "");
  }
  if (!at::hasCUDA()) {
    bad_input(
        "device=cuda",
        "libtorch finds no device that it can use",
        "nvidia-smi says whether the driver sees one, and CUDA_VISIBLE_DEVICES whether it may be "
        "used.");
  }
}

}  // namespace prune_sweep
