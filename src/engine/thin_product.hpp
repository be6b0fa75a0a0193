/// \file
/// Products of a few rows with a block of keys or values, in plain loops: what tiles would be idle
/// for. An element has the same bits however many rows there are.
#pragma once

#include <cstdint>

#include "engine/tiles.hpp"

namespace prune_sweep {

/// c = a * b, or c += it, with `b` [words(k)][n] as of tiles::multiply, of elements
/// of type C. Precondition: k is whole words.
template <typename C>
void thin_product(
    const tiles::Shape& shape,
    tiles::Matrix<const float> a,
    const tiles::Word* b,
    tiles::Matrix<float> c,
    tiles::Into into);

}  // namespace prune_sweep
