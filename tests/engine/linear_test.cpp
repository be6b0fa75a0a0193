#include "engine/linear.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "catch.hpp"

using namespace prune_sweep;

namespace {

struct Setting {
  at::ScalarType stored;
  tiles::Arithmetic arithmetic;
};
const std::vector<Setting> kSettings{
    {at::kBFloat16, tiles::Arithmetic::kBfloat16},
    {at::kBFloat16, tiles::Arithmetic::kFloat32},
    {at::kFloat, tiles::Arithmetic::kFloat32}};

bool is_here(const Setting& setting) {
  return setting.arithmetic == tiles::Arithmetic::kFloat32
             ? tiles::arithmetic_of(at::kFloat) == tiles::Arithmetic::kFloat32
             : tiles::arithmetic_of(setting.stored) == setting.arithmetic;
}

at::Tensor random(std::vector<int64_t> shape, at::ScalarType type) {
  return at::randn(shape).to(type);
}

/// Keeps the size of what it is multiplied with.
at::Tensor random_weight(int64_t out, int64_t in, at::ScalarType type) {
  return (at::randn({out, in}) / std::sqrt(static_cast<double>(in))).to(type);
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.contiguous();
  const at::Tensor y = b.contiguous();
  return x.sizes() == y.sizes() &&
         std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

/// In float64, from the stored values.
at::Tensor exact_product(const at::Tensor& x, const at::Tensor& weight) {
  return at::matmul(x.to(at::kDouble), weight.to(at::kDouble).t());
}

double largest_error(const at::Tensor& a, const at::Tensor& exact) {
  return ((a.to(at::kDouble) - exact).abs() / (exact.abs() + 1)).max().item<double>();
}

double tolerance(at::ScalarType type) { return type == at::kFloat ? 1e-5 : 1.0 / 128; }

ProductRows taken(const at::Tensor& rows, const Setting& setting, const RowNorm& norm = {}) {
  ProductRows result(setting.arithmetic);
  result.take(rows, norm);
  return result;
}

// Up to 128 rows, and above, products are made differently.
const std::vector<int64_t> kRowCounts{1, 2, 15, 16, 17, 48, 63, 64, 65, 128, 129, 130, 161};
struct Widths {
  int64_t in, out;
};
const std::vector<Widths> kWidths{{2, 2}, {16, 48}, {34, 17}, {96, 130}, {256, 300}, {1024, 128}};

}  // namespace

TEST_CASE("products of rows and weights are those of tensors") {
  at::manual_seed(1);
  at::set_num_threads(2);
  for (const Setting& setting : kSettings) {
    if (!is_here(setting)) continue;
    for (const int64_t rows : kRowCounts) {
      for (const auto& [in, out] : kWidths) {
        CAPTURE(c10::toString(setting.stored), static_cast<int>(setting.arithmetic), rows, in, out);
        const at::Tensor x = random({rows, in}, setting.stored);
        const at::Tensor weight = random_weight(out, in, setting.stored);
        const at::Tensor bias = random({out}, setting.stored);
        const at::Tensor none;
        const at::Tensor exact = exact_product(x, weight);
        const double allowed = tolerance(setting.stored);
        const ProductRows product_rows = taken(x, setting);

        const at::Tensor product = at::empty({rows, out}, x.options());
        const at::Tensor with_bias = at::empty({rows, out}, x.options());
        const std::array<Projection, 2> projections{
            Projection{weight, none, product}, Projection{weight, bias, with_bias}};
        project(product_rows, projections);
        CHECK(largest_error(product, exact) < allowed);
        CHECK(largest_error(with_bias, exact + bias.to(at::kDouble)) < allowed);

        const at::Tensor hidden = random({rows, out}, setting.stored);
        const at::Tensor sum = hidden.clone();
        add_product(product_rows, weight, sum);
        // Rounded twice, each time as libtorch rounds.
        CHECK(same_bits(sum, hidden + product));
      }
    }
  }
}

TEST_CASE("shares of the rows meet the weights zeroed, each its own way, with the bits of copies") {
  at::manual_seed(7);
  struct Zeroed {
    WeightZeros zeros;
    at::Tensor copy;
  };
  // Everything below `magnitude`, and of what equals it what lies before the middle.
  const auto zeroed = [](const at::Tensor& weight, uint32_t magnitude, bool by_row) {
    const int64_t rows = weight.size(0);
    const int64_t width = weight.size(1);
    WeightZeros zeros{
        static_cast<const char*>(weight.const_data_ptr()),
        static_cast<int64_t>(weight.element_size()),
        {}};
    if (by_row) zeros.cuts.assign(static_cast<size_t>(rows), {magnitude, width / 2});
    if (!by_row) zeros.cuts.push_back({magnitude, rows * width / 2});
    const bool is_wide = weight.scalar_type() == at::kFloat;
    const at::Tensor bits = weight.view(is_wide ? at::kInt : at::kShort)
                                .to(at::kLong)
                                .bitwise_and(is_wide ? 0x7fffffff : 0x7fff);
    const at::Tensor places = by_row ? at::arange(width).expand({rows, width})
                                     : at::arange(rows * width).view({rows, width});
    const int64_t middle = by_row ? width / 2 : rows * width / 2;
    const at::Tensor is_zero =
        bits.lt(int64_t{magnitude})
            .logical_or(bits.eq(int64_t{magnitude}).logical_and(places.lt(middle)));
    return Zeroed{std::move(zeros), weight.masked_fill(is_zero, 0)};
  };
  const std::vector<std::vector<int64_t>> partitions{
      {5},
      {150},
      {16, 16, 16},
      {9, 16, 3, 16, 1},
      {33, 31},
      {1, 70, 2},
      {100, 20, 30},
      {40, 200, 1}};
  for (const Setting& setting : kSettings) {
    if (!is_here(setting)) continue;
    for (const std::vector<int64_t>& partition : partitions) {
      for (const auto& [in, out] : {Widths{2, 2}, {34, 48}, {96, 130}, {256, 300}, {1024, 128}}) {
        const int64_t rows = std::accumulate(partition.begin(), partition.end(), int64_t{0});
        const at::Tensor x = random({rows, in}, setting.stored);
        const at::Tensor weight = random_weight(out, in, setting.stored);
        const at::Tensor other = random_weight(out, in, setting.stored);
        const auto median = [](const at::Tensor& of, size_t share) {
          const at::Tensor magnitudes = std::get<0>(of.abs().flatten().sort());
          const at::Tensor cut =
              magnitudes[magnitudes.numel() * static_cast<int64_t>(share + 1) / 6];
          return of.scalar_type() == at::kFloat
                     ? static_cast<uint32_t>(cut.view(at::kInt).item<int32_t>())
                     : static_cast<uint32_t>(cut.view(at::kShort).item<int16_t>());
        };
        std::vector<Zeroed> of_weight;
        std::vector<Zeroed> of_other;
        for (size_t share = 0; share < partition.size(); ++share) {
          of_weight.push_back(zeroed(weight, median(weight, share), share % 2 == 1));
          of_other.push_back(zeroed(other, median(other, share), share % 2 == 0));
        }
        const auto with_zeros = [&](const at::Tensor& tensor, const std::vector<Zeroed>& zeros) {
          std::vector<RowZeros> of_rows;
          for (size_t share = 0; share < partition.size(); ++share) {
            of_rows.push_back({zeros[share].zeros, partition[share]});
          }
          return ProductWeight(tensor, std::move(of_rows));
        };
        const at::Tensor none;
        const ProductRows product_rows = taken(x, setting);
        const at::Tensor product = at::empty({rows, out}, x.options());
        const std::array projection{Projection{with_zeros(weight, of_weight), none, product}};
        project(product_rows, projection);
        ProductRows inner(setting.arithmetic);
        gated_product(
            product_rows, with_zeros(weight, of_weight), with_zeros(other, of_other), inner);
        const at::Tensor eye = at::eye(out, x.options());
        const at::Tensor gated = at::zeros({rows, out}, x.options());
        add_product(inner, eye, gated);

        int64_t first = 0;
        for (size_t share = 0; share < partition.size(); first += partition[share++]) {
          CAPTURE(c10::toString(setting.stored), static_cast<int>(setting.arithmetic));
          CAPTURE(partition.size(), share, in, out);
          const int64_t count = partition[share];
          const ProductRows own = taken(x.narrow(0, first, count).contiguous(), setting);
          const at::Tensor expected = at::empty({count, out}, x.options());
          const std::array alone{Projection{of_weight[share].copy, none, expected}};
          project(own, alone);
          CHECK(same_bits(product.narrow(0, first, count), expected));
          gated_product(own, of_weight[share].copy, of_other[share].copy, inner);
          const at::Tensor gated_alone = at::zeros({count, out}, x.options());
          add_product(inner, eye, gated_alone);
          CHECK(same_bits(gated.narrow(0, first, count), gated_alone));
        }
      }
    }
  }
}

TEST_CASE("the gated product is what the next product takes") {
  at::manual_seed(2);
  for (const Setting& setting : kSettings) {
    if (!is_here(setting)) continue;
    for (const int64_t rows : {1, 17, 64, 128, 130}) {
      for (const int64_t width : {2, 30, 128, 200}) {
        CAPTURE(c10::toString(setting.stored), static_cast<int>(setting.arithmetic), rows, width);
        const at::Tensor x = random({rows, 64}, setting.stored);
        const at::Tensor gate = random_weight(width, 64, setting.stored);
        const at::Tensor up = random_weight(width, 64, setting.stored);
        const at::Tensor down = random_weight(48, width, setting.stored);
        ProductRows inner(setting.arithmetic);
        gated_product(taken(x, setting), gate, up, inner);
        const at::Tensor result = at::zeros({rows, 48}, x.options());
        add_product(inner, down, result);
        const at::Tensor plainly = at::linear(
            plain::silu_mul(at::linear(x, gate), at::linear(x, up)).to(at::kFloat),
            down.to(at::kFloat));
        CHECK(
            (result.to(at::kFloat) - plainly).abs().max().item<double>() <
            4 * tolerance(setting.stored));
      }
    }
  }
}

TEST_CASE("rows are normed while they are taken") {
  at::manual_seed(3);
  for (const Setting& setting : kSettings) {
    if (!is_here(setting)) continue;
    const at::Tensor x = random({70, 96}, setting.stored) * 3;
    const at::Tensor norm = random({96}, setting.stored);
    const at::Tensor weight = random({20, 96}, setting.stored);
    const at::Tensor none;
    const at::Tensor at_once = at::empty({70, 20}, x.options());
    const at::Tensor one_by_one = at::empty({70, 20}, x.options());
    const std::array first{Projection{weight, none, at_once}};
    project(taken(x, setting, {norm, 1e-6}), first);
    const std::array second{Projection{weight, none, one_by_one}};
    project(taken(rms_norm(x, norm, 1e-6), setting), second);
    CHECK(same_bits(at_once, one_by_one));
  }
}

TEST_CASE("a row's products have the same bits whatever goes with it") {
  at::manual_seed(4);
  for (const Setting& setting : kSettings) {
    if (!is_here(setting)) continue;
    for (const auto& [in, out] : kWidths) {
      const at::Tensor x = random({300, in}, setting.stored);
      const at::Tensor weight = random({out, in}, setting.stored);
      const at::Tensor none;
      const auto product_of = [&](int64_t first, int64_t count, int threads) {
        at::set_num_threads(threads);
        const at::Tensor result = at::empty({count, out}, x.options());
        const std::array projection{Projection{weight, none, result}};
        const at::Tensor rows = x.narrow(0, first, count).contiguous();
        project(taken(rows, setting), projection);
        return result;
      };
      const at::Tensor together = product_of(0, 300, 1);
      CHECK(same_bits(product_of(0, 300, 2), together));
      for (const int64_t count : kRowCounts) {
        CAPTURE(
            c10::toString(setting.stored), static_cast<int>(setting.arithmetic), in, out, count);
        CHECK(same_bits(product_of(37, count, 1), together.narrow(0, 37, count)));
      }
    }
  }
}

TEST_CASE("tiles in one thread cover the asked rows of a weight") {
  at::manual_seed(5);
  const at::Tensor x = random({70, 32}, at::kFloat);
  const at::Tensor weight = random({500, 32}, at::kFloat);
  const Setting setting{at::kFloat, tiles::Arithmetic::kFloat32};
  if (!is_here(setting)) return;
  const Panels panels(taken(x, setting));
  at::Tensor sums = at::zeros({70, 500});
  for_tiles_here(panels, weight, 100, 300, [&](const Tile& tile) {
    for (int64_t i = 0; i < tile.count; ++i) {
      for (int64_t row = 0; row < panels.rows_of(tile.panel).count; ++row) {
        sums[tile.panel * Panels::kRows + row][tile.first + i] =
            tile.sums[i * panels.columns(tile.panel) + row];
      }
    }
  });
  const at::Tensor exact = exact_product(x, weight);
  CHECK(largest_error(sums.narrow(1, 100, 300), exact.narrow(1, 100, 300)) < 1e-5);
  CHECK(sums.narrow(1, 0, 100).abs().max().item<float>() == 0);
  CHECK(sums.narrow(1, 400, 100).abs().max().item<float>() == 0);
}
