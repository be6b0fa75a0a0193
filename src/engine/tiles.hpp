/// \file
/// Products of small matrices with float32 sums, which all matrix arithmetic on a CPU is made of.
/// They are oneDNN's "brgemm" kernels, which libtorch hands on: AVX-512 for bfloat16, AVX2 and
/// later for float32; with tile registers (AMX) our own kernel.
///
/// An element of a product has the same bits whatever the other rows and columns of the call are:
/// its sum runs along the inner dimension, in order.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>

#include <cstdint>
#include <span>

namespace prune_sweep::tiles {

/// What lies together along the inner dimension: two bfloat16 or one float32.
using Word = uint32_t;

template <typename C>
inline constexpr int64_t kPerWord = sizeof(Word) / sizeof(C);

/// Words that `count` elements take.
template <typename C>
constexpr int64_t words(int64_t count) {
  return (count + kPerWord<C> - 1) / kPerWord<C>;
}

/// Rows of a left side, rounded up so that few shapes of products occur.
constexpr int64_t padded_rows(int64_t rows) { return (rows + 15) / 16 * 16; }

/// The type that elements of type `stored` are multiplied in.
enum class Arithmetic : uint8_t {
  kNone,      ///< this CPU or this libtorch has no such products
  kBfloat16,  ///< exact products of bfloat16, float32 sums
  kFloat32,   ///< also of bfloat16, widened
};
Arithmetic arithmetic_of(at::ScalarType stored);

enum class Into : uint8_t { kReplace, kAdd };

/// c [m, n] = a [m, k] * b.
struct Shape {
  int64_t m, n, k;
};

/// Rows of T, `stride` of them apart.
template <typename T>
struct Matrix {
  T* data;
  int64_t stride;
};

/// Where the left side of a product is read from.
enum class Left : uint8_t {
  kCache,
  kMemory,  ///< its rows and those of the next product lie one behind the other there
};

/// c = a * b, or c += it. `b` is [words(k)][n] words: element (i, j) of a bfloat16 b is half i % 2
/// of word (i / 2, j).
template <typename C>
struct Product {
  Shape shape;
  Matrix<const C> a;
  Matrix<const Word> b;
  Matrix<float> c;
  Into into;
  Left left = Left::kCache;
};

/// One of several products with the same rows on the left, which are zeroed for each in another
/// way: c = a with zeros for what is of smaller magnitude than `least`, times b.
struct ZeroedProduct {
  /// Rows of a, and columns of b: those of a register.
  static constexpr int64_t kRegister = 16;

  uint16_t least;        ///< bits of a bfloat16 without the sign
  Matrix<const Word> b;  // [words(k)][kRegister]
  Matrix<float> c;       // [kRegister][kRegister]
};

/// How many of them can be made together, of rows of `k` elements; 0: none.
int64_t most_zeroed_products(int64_t k);
/// `a` [kRegister, k]; the rows below it come next, and are asked for. Precondition: there are at
/// least one product and not more than can be made together.
void multiply_zeroed(
    int64_t k, Matrix<const c10::BFloat16> a, std::span<const ZeroedProduct> products);

/// Precondition: arithmetic_of() names the type.
void multiply(const Product<c10::BFloat16>& product);
void multiply(const Product<float>& product);

/// Gives back what multiply() holds of the processor. Every thread, after its last product.
void release(Arithmetic arithmetic);

}  // namespace prune_sweep::tiles
