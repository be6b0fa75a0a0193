/// \file
/// Sixteen floats at a time, in the compilers' vector extension: the meaning is the same on every
/// machine, the compiler splits a value into the registers there are. Sums are made lane by lane,
/// so a result depends on its row alone, never on where the row lies or which thread has it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

// A function marked so is compiled for three levels of x86-64 and chosen when the program starts.
// What it calls must be inlined into it, hence kInline below. Sanitizers do not bear the choice at
// start.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PRUNE_SWEEP_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PRUNE_SWEEP_CLONES
#endif
#define PRUNE_SWEEP_INLINE __attribute__((always_inline)) inline
// Behind the parameters of a lambda.
#define PRUNE_SWEEP_INLINE_LAMBDA __attribute__((always_inline))

namespace prune_sweep {

using Lanes = float __attribute__((vector_size(64)));
using LaneBits = int32_t __attribute__((vector_size(64)));
using HalfLanes = uint16_t __attribute__((vector_size(32)));
inline constexpr int64_t kLanes = 16;

/// `count` rounded up to whole Lanes.
PRUNE_SWEEP_INLINE int64_t lanes_up(int64_t count) {
  return (count + kLanes - 1) / kLanes * kLanes;
}

/// Calls whole(i) for every sixteen of `count` values, i the first of them, and last(i, n) for the
/// n that are left.
template <typename Whole, typename Last>
PRUNE_SWEEP_INLINE void for_sixteens(int64_t count, Whole whole, Last last) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) whole(i);
  if (i < count) last(i, count - i);
}

PRUNE_SWEEP_INLINE Lanes from_bits(LaneBits bits) { return std::bit_cast<Lanes>(bits); }
PRUNE_SWEEP_INLINE LaneBits to_bits(Lanes values) { return std::bit_cast<LaneBits>(values); }

/// Rounds to bfloat16, to nearest even; a NaN stays one.
PRUNE_SWEEP_INLINE LaneBits bfloat16_bits(Lanes values) {
  const LaneBits bits = to_bits(values);
  const LaneBits rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return (values == values) ? rounded >> 16 : LaneBits{} + 0x7fc0;
}

/// `values` as they would be after being stored as T.
template <typename T>
PRUNE_SWEEP_INLINE Lanes rounded_to(Lanes values) {
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    return from_bits(bfloat16_bits(values) << 16);
  } else {
    return values;
  }
}

/// The first `count` elements at `from`, zeros behind them; all lanes when there are as many.
template <typename T>
PRUNE_SWEEP_INLINE Lanes load(const T* from, int64_t count = kLanes) {
  const size_t size = sizeof(T) * static_cast<size_t>(count < kLanes ? count : kLanes);
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    HalfLanes halves{};
    if (count >= kLanes) {
      std::memcpy(&halves, from, sizeof halves);
    } else {
      std::memcpy(&halves, from, size);
    }
    return from_bits(__builtin_convertvector(halves, LaneBits) << 16);
  } else {
    Lanes values{};
    if (count >= kLanes) {
      std::memcpy(&values, from, sizeof values);
    } else {
      std::memcpy(&values, from, size);
    }
    return values;
  }
}

template <typename T>
PRUNE_SWEEP_INLINE void store(T* to, Lanes values, int64_t count = kLanes) {
  const size_t size = sizeof(T) * static_cast<size_t>(count < kLanes ? count : kLanes);
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    const HalfLanes halves = __builtin_convertvector(bfloat16_bits(values), HalfLanes);
    if (count >= kLanes) {
      std::memcpy(to, &halves, sizeof halves);
    } else {
      std::memcpy(to, &halves, size);
    }
  } else {
    if (count >= kLanes) {
      std::memcpy(to, &values, sizeof values);
    } else {
      std::memcpy(to, &values, size);
    }
  }
}

/// True in the first `count` lanes.
PRUNE_SWEEP_INLINE LaneBits first_lanes(int64_t count) {
  constexpr LaneBits kIndex{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return kIndex < static_cast<int32_t>(count < kLanes ? count : kLanes);
}

PRUNE_SWEEP_INLINE Lanes larger(Lanes a, Lanes b) { return a > b ? a : b; }

/// Sum of the lanes, pairwise.
PRUNE_SWEEP_INLINE float sum(Lanes values) {
  using Eight = float __attribute__((vector_size(32)));
  using Four = float __attribute__((vector_size(16)));
  const auto eight = std::bit_cast<std::array<Eight, 2>>(values);
  const auto four = std::bit_cast<std::array<Four, 2>>(eight[0] + eight[1]);
  const Four quad = four[0] + four[1];
  return (quad[0] + quad[2]) + (quad[1] + quad[3]);
}

PRUNE_SWEEP_INLINE float max(Lanes values) {
  float largest = values[0];
  for (int64_t i = 1; i < kLanes; ++i) largest = values[i] > largest ? values[i] : largest;
  return largest;
}

/// e^x, relative error below 2e-7; x below -87 gives the least normal number, above 88 about 2e38,
/// NaN itself. Polynomial of the Cephes library (expf.c).
PRUNE_SWEEP_INLINE Lanes exp(Lanes x) {
  constexpr float kLog2e = 1.44269504F;
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  // Adding it leaves the nearest integer in the low bits of the mantissa.
  constexpr float kShift = 12582912.0F;
  const Lanes zero{};
  x = x < -87.0F ? zero - 87.0F : x;
  x = x > 88.0F ? zero + 88.0F : x;
  const Lanes shifted = x * kLog2e + kShift;
  const Lanes n = shifted - kShift;
  const Lanes r = (x - n * kLn2High) - n * kLn2Low;
  Lanes p = zero + 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  const LaneBits exponent = (to_bits(shifted) - std::bit_cast<int32_t>(kShift) + 127) << 23;
  return p * from_bits(exponent);
}

/// Calls `f` with a zero of the tensor's element type.
template <typename F>
void with_element_type(const at::Tensor& tensor, F f) {
  if (tensor.scalar_type() == at::kBFloat16) {
    f(c10::BFloat16{});
  } else {
    TORCH_CHECK(tensor.scalar_type() == at::kFloat, "bfloat16 or float32 is expected");
    f(float{});
  }
}

}  // namespace prune_sweep
