#include "engine/backend.hpp"

#include "engine/plain/plain_backend.hpp"
#include "engine/tile_backend.hpp"

namespace prune_sweep {

std::unique_ptr<Backend> make_backend(
    const ModelConfig& config,
    const Weights& weights,
    Operations operations,
    int64_t row_block,
    const std::function<void()>& on_progress) {
  if (operations == Operations::kFastest && TileBackend::can_compute(weights)) {
    return std::make_unique<TileBackend>(config, weights, row_block, on_progress);
  }
  return std::make_unique<PlainBackend>(config, weights, row_block, on_progress);
}

}  // namespace prune_sweep
