/// \file
/// The loops of magnitude pruning.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace prune_sweep {

/// The place behind the first `num` of `count` words at `stored`, at any alignment, whose magnitude
/// is this one: their bits without the sign. 0 for none of them. The first parameter tells the
/// words. Precondition: there are as many.
int64_t end_of_equal(uint16_t, const char* stored, int64_t count, uint32_t magnitude, int64_t num);
int64_t end_of_equal(uint32_t, const char* stored, int64_t count, uint32_t magnitude, int64_t num);

namespace plain {

/// Weights with zeros where the magnitude is below `cut`, and at the first `ties` places where it
/// equals it. In plain ATen operations, for any device, for weights of 16 bits that are computed
/// with as they are stored.
at::Tensor with_zeros(const at::Tensor& weights, int64_t cut, int64_t ties);

}  // namespace plain

}  // namespace prune_sweep
