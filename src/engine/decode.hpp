/// \file
/// Greedy generation for all streams and prompts of a unit together.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/lm_head.hpp"
#include "engine/loglik.hpp"
#include "engine/streams.hpp"
#include "prune_sweep/engine/engine.hpp"

namespace prune_sweep {

/// What generate_streams() may do.
struct GenerationSavings {
  Use prefix = Use::kOn;
  Use graphs = Use::kOn;               ///< see WaveContext
  Use copies_side_by_side = Use::kOn;  ///< the same
};

/// Generates for every stream after the tree's last layer and every request: [streams][requests].
/// With the tiles' backend the bits of an answer do not depend on the other streams and requests.
std::vector<std::vector<Generation>> generate_streams(
    Decoder& decoder,
    const EditedLayer& edited_layer,
    const StreamTree& tree,
    std::span<const GenerationRequest> requests,
    const Tokenizer& tokenizer,
    GenerationSavings savings,
    PhaseClock& clock);

/// Bytes of keys and values that generate_streams() would hold.
int64_t generation_kv_bytes(
    const Backend& backend,
    const StreamTree& tree,
    std::span<const GenerationRequest> requests,
    Use prefix);

/// What generate_streams() costs, about and at most, in bytes read from memory; of what it
/// computes, what a machine does meanwhile is counted as a byte.
double generation_cost(
    const ModelConfig& config,
    const Weights& weights,
    const StreamTree& tree,
    std::span<const GenerationRequest> requests,
    Use prefix);

}  // namespace prune_sweep
