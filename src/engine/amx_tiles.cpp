#include "engine/amx_tiles.hpp"

#include <array>

#if defined(__x86_64__)
#include <ATen/cpu/Utils.h>
#include <immintrin.h>

#include <cstdlib>
#include <string_view>
#endif

namespace prune_sweep::tiles::amx {

#if defined(__x86_64__)

namespace {

#define PRUNE_SWEEP_AMX __attribute__((target("amx-tile,amx-bf16")))

constexpr int64_t kTile = 16;         ///< rows of a register, and words of its rows
constexpr int64_t kInnerHalves = 32;  ///< of the inner dimension in one

/// After so much of the inner dimension a register is stored where nobody reads it. When none was
/// for about a microsecond, the next store holds up loads from the second cache for 300 ns, a
/// fourth of a product's time: measured on a Xeon with 2 MiB of that cache a core, documented
/// nowhere that we know of. Multiple of kInnerHalves.
constexpr int64_t kStoreEvery = 256;

constexpr int64_t kLineHalves = 32;  ///< of a cache line

/// How many rows the registers for a and c have now; 0: the thread holds none.
thread_local int64_t configured_rows = 0;

/// As the processor reads it.
struct alignas(64) Configuration {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  std::array<uint8_t, 14> reserved{};
  std::array<uint16_t, 16> row_bytes{};
  std::array<uint8_t, 16> rows{};
};
static_assert(sizeof(Configuration) == 64);

/// By rows of a and c. Registers: sums 0 to 3, rows of a 4 and 5, columns of b 6 and 7.
constexpr auto kConfigurations = [] {
  std::array<Configuration, kTile + 1> all;
  for (size_t rows = 0; rows < all.size(); ++rows) {
    for (size_t i = 0; i < 8; ++i) {
      all[rows].row_bytes[i] = 64;
      all[rows].rows[i] = static_cast<uint8_t>(i < 6 ? rows : kTile);
    }
  }
  return all;
}();

PRUNE_SWEEP_AMX void configure(int64_t rows) {
  if (configured_rows == rows) return;
  _tile_loadconfig(&kConfigurations[static_cast<size_t>(rows)]);
  configured_rows = rows;
}

struct Task {
  Product<c10::BFloat16> product;
  /// Cache lines that are asked for in every step along the inner dimension: two registers' rows of
  /// `a` in all steps together.
  int64_t lines_ahead;
};

/// kRows x kColumns registers of sums, those of row `row` and column `column` on.
template <int kRows, int kColumns>
PRUNE_SWEEP_AMX void multiply_block(const Task& task, int64_t row, int64_t column) {
  const Product<c10::BFloat16>& x = task.product;
  float* const c = x.c.data + row * x.c.stride + column;
  float* const below = c + kTile * x.c.stride;
  const auto c_stride = static_cast<size_t>(x.c.stride) * sizeof(float);
  if (x.into == Into::kAdd) {
    _tile_loadd(0, c, c_stride);
    if constexpr (kColumns > 1) _tile_loadd(1, c + kTile, c_stride);
    if constexpr (kRows > 1) _tile_loadd(2, below, c_stride);
    if constexpr (kRows > 1 && kColumns > 1) _tile_loadd(3, below + kTile, c_stride);
  } else {
    _tile_zero(0);
    if constexpr (kColumns > 1) _tile_zero(1);
    if constexpr (kRows > 1) _tile_zero(2);
    if constexpr (kRows > 1 && kColumns > 1) _tile_zero(3);
  }
  alignas(64) std::array<std::byte, 64> unread;
  const c10::BFloat16* a = x.a.data + row * x.a.stride;
  const Word* b = x.b.data + column;
  const auto a_stride = static_cast<size_t>(x.a.stride) * sizeof(c10::BFloat16);
  const auto b_stride = static_cast<size_t>(x.b.stride) * sizeof(Word);
  [[maybe_unused]] const c10::BFloat16* ahead = a + kRows * kTile * x.a.stride;
  if constexpr (kRows * kColumns == 4) {
    ahead +=
        column / (kColumns * kTile) * (x.shape.k / kInnerHalves) * task.lines_ahead * kLineHalves;
  }
  for (int64_t k = 0; k < x.shape.k;
       k += kInnerHalves, a += kInnerHalves, b += kTile * x.b.stride) {
    _tile_loadd(4, a, a_stride);
    _tile_loadd(6, b, b_stride);
    if constexpr (kColumns > 1) _tile_loadd(7, b + kTile, b_stride);
    if constexpr (kRows * kColumns == 4) {
      for (int64_t i = 0; i < task.lines_ahead; ++i, ahead += kLineHalves) {
        __builtin_prefetch(ahead, /*rw=*/0, /*locality=*/2);
      }
    }
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kColumns > 1) _tile_dpbf16ps(1, 4, 7);
    if constexpr (kRows > 1) {
      _tile_loadd(5, a + kTile * x.a.stride, a_stride);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kColumns > 1) _tile_dpbf16ps(3, 5, 7);
    }
    if (kRows * kColumns == 4 && (k + kInnerHalves) % kStoreEvery == 0) {
      _tile_stored(4, unread.data(), 0);
    }
  }
  _tile_stored(0, c, c_stride);
  if constexpr (kColumns > 1) _tile_stored(1, c + kTile, c_stride);
  if constexpr (kRows > 1) _tile_stored(2, below, c_stride);
  if constexpr (kRows > 1 && kColumns > 1) _tile_stored(3, below + kTile, c_stride);
}

template <int kRows>
PRUNE_SWEEP_AMX void multiply_rows(const Task& task, int64_t row) {
  const int64_t n = task.product.shape.n;
  int64_t column = 0;
  for (; column + 2 * kTile <= n; column += 2 * kTile) multiply_block<kRows, 2>(task, row, column);
  if (column < n) multiply_block<kRows, 1>(task, row, column);
}

/// A register's rows, zeroed for each product.
using ZeroedTile = std::array<std::array<c10::BFloat16, kTile * kInnerHalves>, kMostZeroedProducts>;

/// From which magnitude on elements stay, in every lane.
struct LeastKept {
  __m512i of_product[kMostZeroedProducts];
};

#define PRUNE_SWEEP_AMX_AVX512 __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw")))

/// Fills `to` for products [0, kProducts) from rows at `a`, and asks for those below.
template <int kProducts>
PRUNE_SWEEP_AMX_AVX512 void zero_tile(
    const c10::BFloat16* a, int64_t stride, const LeastKept& least, ZeroedTile& to) {
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  for (int64_t row = 0; row < kTile; ++row, a += stride) {
    __builtin_prefetch(a + kTile * stride, /*rw=*/0, /*locality=*/2);
    const __m512i halves = _mm512_loadu_si512(a);
    const __m512i magnitudes = _mm512_and_si512(halves, magnitude);
    for (size_t i = 0; i < kProducts; ++i) {
      const __mmask32 is_kept = _mm512_cmpge_epu16_mask(magnitudes, least.of_product[i]);
      _mm512_store_si512(
          to[i].data() + row * kInnerHalves, _mm512_maskz_mov_epi16(is_kept, halves));
    }
  }
}

template <int kProducts>
PRUNE_SWEEP_AMX_AVX512 void multiply_zeroed_tiles(
    int64_t k, Matrix<const c10::BFloat16> a, const ZeroedProduct* products) {
  constexpr size_t kZeroedStride = kInnerHalves * sizeof(c10::BFloat16);
  const auto b_stride = [&](int i) {
    return static_cast<size_t>(products[i].b.stride) * sizeof(Word);
  };
  const auto c_stride = [&](int i) {
    return static_cast<size_t>(products[i].c.stride) * sizeof(float);
  };
  LeastKept least;
  for (size_t i = 0; i < kProducts; ++i) {
    least.of_product[i] = _mm512_set1_epi16(static_cast<int16_t>(products[i].least));
  }
  _tile_zero(0);
  if constexpr (kProducts > 1) _tile_zero(1);
  if constexpr (kProducts > 2) _tile_zero(2);
  if constexpr (kProducts > 3) _tile_zero(3);
  // What was just written cannot be loaded at once: a step ahead.
  alignas(64) std::array<ZeroedTile, 2> zeroed;
  zero_tile<kProducts>(a.data, a.stride, least, zeroed[0]);
  for (int64_t first = 0; first < k; first += kInnerHalves) {
    const ZeroedTile& now = zeroed[static_cast<size_t>(first / kInnerHalves % 2)];
    const int64_t next = first + kInnerHalves;
    if (next < k) {
      ZeroedTile& ahead = zeroed[static_cast<size_t>(next / kInnerHalves % 2)];
      zero_tile<kProducts>(a.data + next, a.stride, least, ahead);
    }
    const int64_t word = first / kPerWord<c10::BFloat16>;
    const auto columns = [&](int i) { return products[i].b.data + word * products[i].b.stride; };
    _tile_loadd(4, now[0].data(), kZeroedStride);
    _tile_loadd(6, columns(0), b_stride(0));
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kProducts > 1) {
      _tile_loadd(5, now[1].data(), kZeroedStride);
      _tile_loadd(7, columns(1), b_stride(1));
      _tile_dpbf16ps(1, 5, 7);
    }
    if constexpr (kProducts > 2) {
      _tile_loadd(4, now[2].data(), kZeroedStride);
      _tile_loadd(6, columns(2), b_stride(2));
      _tile_dpbf16ps(2, 4, 6);
    }
    if constexpr (kProducts > 3) {
      _tile_loadd(5, now[3].data(), kZeroedStride);
      _tile_loadd(7, columns(3), b_stride(3));
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, products[0].c.data, c_stride(0));
  if constexpr (kProducts > 1) _tile_stored(1, products[1].c.data, c_stride(1));
  if constexpr (kProducts > 2) _tile_stored(2, products[2].c.data, c_stride(2));
  if constexpr (kProducts > 3) _tile_stored(3, products[3].c.data, c_stride(3));
}

}  // namespace

bool is_available() {
  static const bool is = [] {
    const char* const most = std::getenv("ONEDNN_MAX_CPU_ISA");
    const std::string_view isa = most != nullptr ? most : "";
    const bool is_allowed = isa.empty() || isa == "ALL" || isa == "DEFAULT" ||
                            isa.find("AMX") != std::string_view::npos;
    // Rows are zeroed in vector registers.
    const bool has_both =
        __builtin_cpu_supports("amx-bf16") != 0 && __builtin_cpu_supports("avx512bw") != 0;
    return is_allowed && has_both && at::cpu::init_amx();
  }();
  return is;
}

void multiply(const Product<c10::BFloat16>& product) {
  const int64_t m = product.shape.m;
  const int64_t num_pairs = product.shape.n / (2 * kTile);
  const bool is_ahead = product.left == Left::kMemory && num_pairs > 0;
  const Task task{product, is_ahead ? 2 * kTile / num_pairs : 0};
  int64_t row = 0;
  if (m >= kTile) configure(kTile);
  for (; row + 2 * kTile <= m; row += 2 * kTile) multiply_rows<2>(task, row);
  for (; row + kTile <= m; row += kTile) multiply_rows<1>(task, row);
  if (row == m) return;
  configure(m - row);
  multiply_rows<1>(task, row);
}

void multiply_zeroed(
    int64_t k, Matrix<const c10::BFloat16> a, std::span<const ZeroedProduct> products) {
  configure(kTile);
  switch (products.size()) {
    case 1:
      return multiply_zeroed_tiles<1>(k, a, products.data());
    case 2:
      return multiply_zeroed_tiles<2>(k, a, products.data());
    case 3:
      return multiply_zeroed_tiles<3>(k, a, products.data());
    default:
      return multiply_zeroed_tiles<4>(k, a, products.data());
  }
}

bool holds_registers() { return configured_rows != 0; }

PRUNE_SWEEP_AMX void release() {
  if (configured_rows == 0) return;
  _tile_release();
  configured_rows = 0;
}

#else

bool is_available() { return false; }
void multiply(const Product<c10::BFloat16>&) {}
void multiply_zeroed(int64_t, Matrix<const c10::BFloat16>, std::span<const ZeroedProduct>) {}
bool holds_registers() { return false; }
void release() {}

#endif

}  // namespace prune_sweep::tiles::amx
