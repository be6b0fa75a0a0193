/// \file
/// From the type that a table of kernels is told to the type of its loops.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "engine/cuda/kernel_table.hpp"

namespace prune_sweep {

/// Calls f with a zero of the type.
template <typename F>
void with_type(ElementType type, F f) {
  switch (type) {
    case ElementType::kBfloat16:
      return f(c10::BFloat16{});
    case ElementType::kFloat16:
      return f(c10::Half{});
    case ElementType::kFloat32:
      return f(float{});
  }
}

}  // namespace prune_sweep
