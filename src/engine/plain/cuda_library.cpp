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

void* open_library(const fs::path& library, int visibility) {
  void* const opened = ::dlopen(library.c_str(), RTLD_NOW | visibility);
  if (opened == nullptr) {
    const char* why = ::dlerror();
    bad_input("device=cuda: " + library.string() + " cannot be loaded", why != nullptr ? why : "");
  }
  return opened;
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
  open_library(library, RTLD_GLOBAL);
  if (!at::hasCUDA()) {
    bad_input(
        "device=cuda",
        "libtorch finds no device that it can use",
        "nvidia-smi says whether the driver sees one, and CUDA_VISIBLE_DEVICES whether it may be "
        "used.");
  }
}

const KernelTable* load_cuda_kernels() {
  const fs::path folder = fs::read_symlink("/proc/self/exe").parent_path();
  for (const fs::path& dir : {folder, folder.parent_path() / "lib"}) {
    const fs::path library = dir / "libprune_sweep_cuda.so";
    if (!fs::exists(library)) continue;
    void* const loaded = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    void* const symbol = loaded != nullptr ? ::dlsym(loaded, "prune_sweep_kernel_table") : nullptr;
    if (symbol == nullptr) {
      const char* why = ::dlerror();
      bad_input(library.string() + ": cannot be loaded", why != nullptr ? why : "");
    }
    const auto* table = reinterpret_cast<decltype(&prune_sweep_kernel_table)>(symbol)();
    if (table->version != KernelTable::kVersion) {
      bad_input(library.string(), "belongs to another version of the program", "Build both anew.");
    }
    return table;
  }
  return nullptr;
}

}  // namespace prune_sweep
