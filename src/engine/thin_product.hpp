/// \file
/// Products of a few rows with a block of keys or values, in plain loops: what tiles would be idle
/// for. An element has the same bits however many rows there are.
#pragma once

#include <cstdint>

#include "engine/tiles.hpp"

namespace prune_sweep {

/// c [m, n] = a [m, k] * b, or c += it, with `b` [words(k)][n] as of tiles::multiply, of elements
/// of type C. Precondition: k is whole words.
template <typename C>
void thin_product(
    int64_t m,
    int64_t n,
    int64_t k,
    const float* a,
    int64_t lda,
    const tiles::Word* b,
    float* c,
    int64_t ldc,
    tiles::Into into);

}  // namespace prune_sweep
