/// \file
/// Whether a generated text has run into a loop, the way small or damaged models often end.
#pragma once

#include <cstdint>
#include <span>

namespace prune_sweep {

/// Whether `ids` end in one stretch of 1 to 64 tokens that stands there at least three times over,
/// and over at least 24 tokens: less may be a number such as 100000 or a list.
bool ends_in_loop(std::span<const int32_t> ids);

}  // namespace prune_sweep
