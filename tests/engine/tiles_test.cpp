#include "engine/tiles.hpp"

#include <ATen/ATen.h>

#include <cstring>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "engine/amx_tiles.hpp"
#include "engine/thin_product.hpp"

using namespace prune_sweep;
using c10::BFloat16;
using tiles::Into;
using tiles::Left;
using tiles::Word;

namespace {

/// A product's operands, exact in every type: small integers.
template <typename C>
struct Operands {
  int64_t m, n, k;
  at::Tensor a, b;      // [m, k], [k, n] float32
  std::vector<C> left;  // [m][k]
  std::vector<Word> right;

  Operands(int64_t rows, int64_t columns, int64_t inner)
      : m(rows),
        n(columns),
        k(inner),
        a(at::randint(-9, 10, {m, k}, at::kFloat)),
        b(at::randint(-9, 10, {k, n}, at::kFloat)),
        right(static_cast<size_t>(tiles::words<C>(k) * n)) {
    const auto* from_a = a.const_data_ptr<float>();
    left.assign(from_a, from_a + m * k);
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        const auto word = static_cast<size_t>(i / tiles::kPerWord<C> * n + j);
        const C element(b[i][j].item<float>());
        std::memcpy(
            reinterpret_cast<C*>(&right[word]) + i % tiles::kPerWord<C>, &element, sizeof element);
      }
    }
  }

  /// What is there before a product adds to it.
  std::vector<float> before() const { return std::vector<float>(static_cast<size_t>(m * n), 3.0F); }
  at::Tensor expected(Into into) const {
    const at::Tensor product = at::matmul(a.to(at::kDouble), b.to(at::kDouble)).to(at::kFloat);
    return into == Into::kAdd ? product + 3.0F : product;
  }
};

at::Tensor as_tensor(const std::vector<float>& values, int64_t m, int64_t n) {
  return at::tensor(values).reshape({m, n});
}

/// Whole tiles, some rows more or fewer, columns and inner dimensions that no register holds whole.
const std::vector<tiles::Shape> kShapes{
    {1, 16, 32},
    {2, 128, 128},
    {16, 32, 64},
    {17, 48, 96},
    {32, 32, 32},
    {33, 16, 32},
    {48, 64, 128},
    {128, 64, 256},
    {5, 20, 34},
    {31, 7, 2},
    {64, 32, 40}};

template <typename C>
void check_tiles() {
  for (const auto& [m, n, k] : kShapes) {
    const Operands<C> x(m, n, k);
    for (const Into into : {Into::kReplace, Into::kAdd}) {
      for (const Left left : {Left::kCache, Left::kMemory}) {
        std::vector<float> c = x.before();
        tiles::multiply(
            {{m, n, k}, {x.left.data(), k}, {x.right.data(), n}, {c.data(), n}, into, left});
        CAPTURE(m, n, k, into == Into::kAdd, left == Left::kMemory);
        CHECK(at::equal(as_tensor(c, m, n), x.expected(into)));
      }
    }
  }
}

}  // namespace

TEST_CASE("products of tiles are those of matrices, one kernel after the other") {
  at::manual_seed(1);
  if (tiles::arithmetic_of(at::kBFloat16) == tiles::Arithmetic::kBfloat16) {
    check_tiles<BFloat16>();
    tiles::release(tiles::Arithmetic::kBfloat16);
  }
  if (tiles::arithmetic_of(at::kFloat) != tiles::Arithmetic::kNone) {
    check_tiles<float>();
    tiles::release(tiles::Arithmetic::kFloat32);
  }
}

TEST_CASE("tile registers are given back, and a thread that comes later takes its own") {
  if (!tiles::amx::is_available()) {
    WARN("this CPU has no tile registers");
    return;
  }
  CHECK_FALSE(tiles::amx::holds_registers());
  check_tiles<BFloat16>();
  std::thread(check_tiles<BFloat16>).join();
  tiles::release(tiles::Arithmetic::kBfloat16);
  CHECK_FALSE(tiles::amx::holds_registers());
}

TEMPLATE_TEST_CASE("thin products are those of matrices", "", float, BFloat16) {
  at::manual_seed(2);
  for (const auto& [m, n, k] : kShapes) {
    const Operands<TestType> x(m, n, k);
    const auto* a = x.a.template const_data_ptr<float>();
    for (const Into into : {Into::kReplace, Into::kAdd}) {
      std::vector<float> c = x.before();
      thin_product<TestType>({m, n, k}, {a, k}, x.right.data(), {c.data(), n}, into);
      CAPTURE(m, n, k, into == Into::kAdd);
      CHECK(at::equal(as_tensor(c, m, n), x.expected(into)));
    }
  }
}

TEMPLATE_TEST_CASE(
    "a thin product's row has the same bits whatever rows are beside it", "", float, BFloat16) {
  at::manual_seed(3);
  constexpr int64_t kRows = 9;
  const Operands<TestType> x(kRows, 96, 128);
  const at::Tensor a = at::randn({kRows, x.k});
  std::vector<float> together(static_cast<size_t>(kRows * x.n));
  std::vector<float> alone = together;
  const auto multiply = [&](int64_t first, int64_t count, float* c) {
    thin_product<TestType>(
        {count, x.n, x.k},
        {a.const_data_ptr<float>() + first * x.k, x.k},
        x.right.data(),
        {c + first * x.n, x.n},
        Into::kReplace);
  };
  multiply(0, kRows, together.data());
  for (int64_t row = 0; row < kRows; ++row) multiply(row, 1, alone.data());
  CHECK(std::memcmp(together.data(), alone.data(), sizeof(float) * together.size()) == 0);
}
