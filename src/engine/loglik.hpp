/// \file
/// Log-likelihoods of continuations for all streams and requests of a unit together.
#pragma once

#include <span>
#include <vector>

#include "engine/lm_head.hpp"
#include "engine/phase_clock.hpp"
#include "engine/streams.hpp"
#include "prune_sweep/engine/engine.hpp"

namespace prune_sweep {

/// Scores of every stream after the tree's last layer: [streams][requests][continuations]. With the
/// tiles' backend the bits of a score do not depend on the other streams and requests.
std::vector<std::vector<std::vector<ContinuationScore>>> score_streams(
    Decoder& decoder,
    const EditedLayer& edited_layer,
    const StreamTree& tree,
    std::span<const LoglikRequest> requests,
    Use prefix,
    PhaseClock& clock);

/// Rows of a stream that score_streams() would compute.
int64_t num_loglik_rows(std::span<const LoglikRequest> requests, Use prefix);

/// The score of a continuation from those of its tokens.
ContinuationScore add_up(std::span<const LmHead::Score> tokens);

}  // namespace prune_sweep
