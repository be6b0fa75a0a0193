/// \file
/// Products of bfloat16 by the tile registers of a CPU that has them (Intel AMX): one kernel for
/// the shapes of a model, faster than the general ones. Registers hold 16 rows of 64 bytes.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <span>

#include "engine/tiles.hpp"

namespace prune_sweep::tiles::amx {

/// Whether this CPU has tile registers, the system lets this process use them, and
/// ONEDNN_MAX_CPU_ISA, if set, allows them.
bool is_available();

/// Whether the kernel takes products of this shape.
constexpr bool takes(int64_t n, int64_t k) { return n % 16 == 0 && k % 32 == 0; }

/// As tiles::multiply, with the same bits as any other product that adds up the inner dimension two
/// by two, in order. Preconditions: is_available() and takes(n, k).
void multiply(const Product<c10::BFloat16>& product);

/// Registers for sums, when others hold rows and columns of two steps along the inner dimension.
inline constexpr int64_t kMostZeroedProducts = 4;
/// As tiles::multiply_zeroed.
void multiply_zeroed(
    int64_t k, Matrix<const c10::BFloat16> a, std::span<const ZeroedProduct> products);

/// Whether the calling thread holds tile registers, and gives them back.
bool holds_registers();
void release();

}  // namespace prune_sweep::tiles::amx
