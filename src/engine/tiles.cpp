#include "engine/tiles.hpp"

#include <ATen/native/CPUBlas.h>

#include <array>
#include <exception>
#include <type_traits>

#include "engine/amx_tiles.hpp"
#include "prune_sweep/core/check.hpp"

namespace prune_sweep::tiles {

#if defined(CPUBLAS_BRGEMM_BF16BF16F32) && defined(CPUBLAS_BRGEMM_F32F32F32)

namespace {

constexpr bool is_vnni(const c10::BFloat16*) { return true; }
constexpr bool is_vnni(const float*) { return false; }

/// The tile registers have one user at a time, which believes that they are as it left them.
void take_registers_for_library() { amx::release(); }
void take_registers_for_kernel() {
  if (!amx::holds_registers()) at::native::cpublas::brgemm_release(/*is_vnni=*/true);
}

template <typename C>
void call(const Product<C>& product) {
  const auto& [m, n, k] = product.shape;
  if constexpr (std::is_same_v<C, c10::BFloat16>) {
    if (amx::takes(n, k) && amx::is_available()) {
      take_registers_for_kernel();
      amx::multiply(product);
      return;
    }
  }
  take_registers_for_library();
  at::native::cpublas::brgemm(
      m,
      n,
      k,
      product.a.stride,
      product.b.stride,
      product.c.stride,
      product.into == Into::kAdd,
      product.a.data,
      reinterpret_cast<const C*>(product.b.data),
      product.c.data,
      is_vnni(product.a.data));
}

/// Whether a product with this type of elements works here: libraries say no by throwing.
template <typename C>
bool works() {
  const std::array<C, 4> a{C(1.0F), C(2.0F), C(3.0F), C(4.0F)};  // [2, 2]
  std::array<C, 2 * 16 * kPerWord<C>> b{};                       // [2, 16] as words
  for (int64_t j = 0; j < 16; ++j) {
    const auto element = [&](int64_t i) -> C& {
      return b[static_cast<size_t>((i / kPerWord<C> * 16 + j) * kPerWord<C> + i % kPerWord<C>)];
    };
    element(0) = C(1.0F);
    element(1) = C(10.0F);
  }
  std::array<float, 32> c{};
  try {
    call<C>(
        {{.m = 2, .n = 16, .k = 2},
         {a.data(), 2},
         {reinterpret_cast<const Word*>(b.data()), 16},
         {c.data(), 16},
         Into::kReplace});
    at::native::cpublas::brgemm_release(is_vnni(a.data()));
  } catch (const std::exception&) {
    return false;
  }
  return c[3] == 21.0F && c[16 + 15] == 43.0F;
}

}  // namespace

int64_t most_zeroed_products(int64_t k) {
  constexpr int64_t kColumns = ZeroedProduct::kRegister;
  return amx::takes(kColumns, k) && amx::is_available() ? amx::kMostZeroedProducts : 0;
}

void multiply_zeroed(
    int64_t k, Matrix<const c10::BFloat16> a, std::span<const ZeroedProduct> products) {
  take_registers_for_kernel();
  amx::multiply_zeroed(k, a, products);
}

Arithmetic arithmetic_of(at::ScalarType stored) {
  if (stored != at::kBFloat16 && stored != at::kFloat) return Arithmetic::kNone;
  static const bool bfloat16_works = works<c10::BFloat16>();
  static const bool float32_works = works<float>();
  if (stored == at::kBFloat16 && bfloat16_works) return Arithmetic::kBfloat16;
  return float32_works ? Arithmetic::kFloat32 : Arithmetic::kNone;
}

void release(Arithmetic arithmetic) {
  if (amx::holds_registers()) {
    amx::release();
    return;
  }
  at::native::cpublas::brgemm_release(/*is_vnni=*/arithmetic == Arithmetic::kBfloat16);
}

#else

namespace {

template <typename C>
[[noreturn]] void call(const Product<C>&) {
  throw Error(ExitStatus::kInternal, "products of tiles", "this libtorch has none");
}

}  // namespace

int64_t most_zeroed_products(int64_t) { return 0; }

void multiply_zeroed(int64_t, Matrix<const c10::BFloat16>, std::span<const ZeroedProduct>) {}

Arithmetic arithmetic_of(at::ScalarType) { return Arithmetic::kNone; }

void release(Arithmetic) {}

#endif

void multiply(const Product<c10::BFloat16>& product) { call(product); }
void multiply(const Product<float>& product) { call(product); }

}  // namespace prune_sweep::tiles
