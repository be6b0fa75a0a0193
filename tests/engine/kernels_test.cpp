#include "engine/kernels.hpp"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <cstring>

#include "catch.hpp"
#include "engine/lanes.hpp"

using namespace prune_sweep;

namespace {

at::Tensor random(std::vector<int64_t> shape, at::ScalarType type) {
  return at::randn(shape).to(type);
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.contiguous();
  const at::Tensor y = b.contiguous();
  return x.sizes() == y.sizes() &&
         std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

/// Equal but for the last place, which the order of a sum may move.
bool close(const at::Tensor& a, const at::Tensor& b) {
  const bool is_float = a.scalar_type() == at::kFloat;
  return at::allclose(
      a.to(at::kFloat), b.to(at::kFloat), is_float ? 2e-6 : 1.0 / 128, is_float ? 2e-6 : 1e-3);
}

at::Tensor rotated(const at::Tensor& heads, const RowNorm& norm, const Rope& rope) {
  at::Tensor result = heads.clone();
  norm_and_rotate(result, {norm, rope});
  return result;
}

// Around the width of the vectors, and the widths of real models.
const std::vector<int64_t> kWidths{1, 2, 15, 16, 17, 31, 32, 33, 64, 96, 128, 1000, 1024};

}  // namespace

TEST_CASE("the host loops agree with plain tensor operations") {
  at::manual_seed(1);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const int64_t width : kWidths) {
      CAPTURE(width, c10::toString(type));
      const at::Tensor x = random({5, width}, type);
      const at::Tensor weight = random({width}, type);
      CHECK(close(rms_norm(x, weight, 1e-6), plain::rms_norm(x, weight, 1e-6)));
      const at::Tensor heads = random({5, 3, 2 * width}, type);
      const Rope rope{random({5, width}, type), random({5, width}, type)};
      const RowNorm norm{random({2 * width}, type), 1e-6};
      CHECK(close(rotated(heads, {}, rope), plain::rotate(heads, rope)));
      // Rotated after it was rounded, as the plain operations do.
      const at::Tensor normed = rms_norm(heads, norm.weight, norm.eps);
      CHECK(close(rotated(heads, norm, rope), plain::rotate(normed, rope)));
    }
  }
}

TEST_CASE("in bfloat16 the host loops round where the plain operations do") {
  // But for sums, whose order differs, every step is the same: no value may differ.
  at::manual_seed(2);
  const at::Tensor heads = random({50, 4, 128}, at::kBFloat16);
  const Rope rope{random({50, 64}, at::kBFloat16), random({50, 64}, at::kBFloat16)};
  CHECK(same_bits(rotated(heads, {}, rope), plain::rotate(heads, rope)));
  const at::Tensor x = random({50, 1024}, at::kBFloat16);
  const at::Tensor weight = random({1024}, at::kBFloat16);
  const at::Tensor differs = rms_norm(x, weight, 1e-6).ne(plain::rms_norm(x, weight, 1e-6));
  CHECK(differs.sum().item<int64_t>() < 50);
}

TEST_CASE("a row's bits do not depend on the other rows") {
  at::manual_seed(3);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const int64_t width : kWidths) {
      CAPTURE(width, c10::toString(type));
      const at::Tensor x = random({300, width}, type);
      const at::Tensor weight = random({width}, type);
      const at::Tensor normed = rms_norm(x, weight, 1e-6);
      for (const int64_t row : {0, 1, 149, 299}) {
        CHECK(same_bits(rms_norm(x.narrow(0, row, 1), weight, 1e-6), normed.narrow(0, row, 1)));
      }
    }
  }
}

TEST_CASE("the vector exponential is exact to a few units in the last place") {
  double worst = 0;
  for (double x = -87; x <= 88; x += 0.00371) {
    const auto value = static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(value));
    const Lanes lanes = exp(Lanes{} + value);
    worst = std::max(worst, std::abs(static_cast<double>(lanes[7]) - exact) / exact);
  }
  CHECK(worst < 2e-7);
  CHECK(exp(Lanes{})[0] == 1.0F);
  CHECK(exp(Lanes{} - 1e30F)[0] < 1e-37F);
  CHECK(exp(Lanes{} - std::numeric_limits<float>::infinity())[0] < 1e-37F);
  CHECK(exp(Lanes{} + 1e30F)[0] > 1e38F);
  CHECK(std::isnan(exp(Lanes{} + std::numeric_limits<float>::quiet_NaN())[3]));
}

TEST_CASE("bfloat16 is rounded to nearest even, as libtorch rounds") {
  at::manual_seed(4);
  const at::Tensor values = at::cat(
      {at::randn({4096}),
       at::tensor(
           {1.0F,
            1.00390625F,
            1.01171875F,
            3.4e38F,
            1e-45F,
            -0.0F,
            std::numeric_limits<float>::infinity(),
            -std::numeric_limits<float>::infinity()}),
       at::zeros({8})});
  std::vector<c10::BFloat16> ours(static_cast<size_t>(values.numel()));
  for (int64_t i = 0; i < values.numel(); i += kLanes) {
    store(
        ours.data() + i,
        load(values.const_data_ptr<float>() + i, values.numel() - i),
        values.numel() - i);
  }
  const at::Tensor theirs = values.to(at::kBFloat16);
  CHECK(std::memcmp(ours.data(), theirs.const_data_ptr(), theirs.nbytes()) == 0);
}
