/// \file
/// Log-likelihoods of continuations for all streams and requests of a unit together.
#pragma once

#include <exception>
#include <span>
#include <vector>

#include "engine/lm_head.hpp"
#include "engine/streams.hpp"
#include "prune_sweep/engine/engine.hpp"

namespace prune_sweep {

/// A result that is no number.
struct NotFinite : std::exception {
  NotFinite(size_t its_stream, size_t its_request) : stream(its_stream), request(its_request) {}
  const char* what() const noexcept override { return "not a finite number"; }

  size_t stream;  ///< after the tree's last layer
  size_t request;
};

/// Scores of every stream after the tree's last layer: [streams][requests][continuations]. The bits
/// of a score do not depend on the other streams and requests. Throws NotFinite.
std::vector<std::vector<std::vector<ContinuationScore>>> score_streams(
    Decoder& decoder,
    const LmHead& head,
    const EditedLayer& edited_layer,
    const StreamTree& tree,
    std::span<const LoglikRequest> requests);

}  // namespace prune_sweep
