/// \file
/// From what is known when the program runs to the types of the loops.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>

#include "engine/tiles.hpp"

namespace prune_sweep {

/// Calls f with a zero of the type that elements are multiplied in.
template <typename F>
void with_multiplied_type(tiles::Arithmetic arithmetic, F f) {
  if (arithmetic == tiles::Arithmetic::kBfloat16) {
    f(c10::BFloat16(0.0F));
  } else {
    f(0.0F);
  }
}

/// Calls f with a T and a C: the type that elements are stored in, and the one they are multiplied
/// in.
template <typename F>
void with_tile_types(at::ScalarType stored, tiles::Arithmetic arithmetic, F f) {
  if (stored == at::kFloat) {
    f(float{}, float{});
  } else if (arithmetic == tiles::Arithmetic::kBfloat16) {
    f(c10::BFloat16{}, c10::BFloat16{});
  } else {
    f(c10::BFloat16{}, float{});
  }
}

}  // namespace prune_sweep
