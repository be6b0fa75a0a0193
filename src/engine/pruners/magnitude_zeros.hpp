/// \file
/// The loops that write a weight's pruned copy.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace prune_sweep {

/// to = from, with zeros where the magnitude of `stored` is below `cut`, and at the first `ties`
/// places where it equals it; all [count]. The first parameter tells the words that are stored, at
/// any alignment. Magnitudes and `cut` are their bits without the sign. `from` and `to` are of
/// another type where the model is computed in another.
void copy_with_zeros(
    uint16_t,
    const char* stored,
    const uint16_t* from,
    int64_t count,
    uint32_t cut,
    int64_t ties,
    uint16_t* to);
void copy_with_zeros(
    uint16_t,
    const char* stored,
    const uint32_t* from,
    int64_t count,
    uint32_t cut,
    int64_t ties,
    uint32_t* to);
void copy_with_zeros(
    uint32_t,
    const char* stored,
    const uint16_t* from,
    int64_t count,
    uint32_t cut,
    int64_t ties,
    uint16_t* to);
void copy_with_zeros(
    uint32_t,
    const char* stored,
    const uint32_t* from,
    int64_t count,
    uint32_t cut,
    int64_t ties,
    uint32_t* to);

/// The same in plain ATen operations, for any device: of weights of 16 bits that are computed with
/// as they are stored.
namespace plain {
at::Tensor with_zeros(const at::Tensor& weights, int64_t cut, int64_t ties);
}  // namespace plain

}  // namespace prune_sweep
