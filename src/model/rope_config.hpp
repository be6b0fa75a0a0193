/// \file
/// The keys of config.json that say how positions are rotated in.
#pragma once

#include "model/json_keys.hpp"
#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

/// Reads `rope_theta` and `rope_scaling`, or `rope_parameters`, which newer files have in their
/// place. Throws Error (kBadInput) for a type of scaling that is not supported, listing those that
/// are, and for values that cannot be.
RopeConfig read_rope_config(const JsonKeys& config);

}  // namespace prune_sweep
