#include "engine/backend.hpp"

#include "engine/plain/cuda_library.hpp"
#include "engine/plain/plain_backend.hpp"
#include "engine/tile_backend.hpp"

namespace prune_sweep {

std::unique_ptr<Backend> make_backend(
    const ModelConfig& config,
    const Weights& weights,
    Operations operations,
    const Savings& savings,
    int64_t row_block,
    const std::function<void()>& on_progress) {
  if (operations == Operations::kFastest && TileBackend::can_compute(config, weights)) {
    return std::make_unique<TileBackend>(config, weights, row_block, on_progress);
  }
  const bool has_kernels = weights.embedding().is_cuda() && operations == Operations::kFastest &&
                           savings.kernels == Use::kOn;
  const DeviceOps ops(has_kernels ? load_cuda_kernels() : nullptr);
  return std::make_unique<PlainBackend>(
      config, weights, ops, savings.graphs, row_block, on_progress);
}

}  // namespace prune_sweep
