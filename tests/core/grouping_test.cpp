#include "prune_sweep/core/grouping.hpp"

#include <algorithm>
#include <numeric>
#include <set>

#include "catch.hpp"

using namespace prune_sweep;

namespace {

constexpr int32_t kLayers = 28;
constexpr int64_t kNoLimit = 1 << 20;

Variant variant_of(const std::string& edits, int32_t repeat = 0) {
  Variant variant{edits, parse_edits(edits, kLayers, MagnitudeScope::kTensor, "test")};
  variant.repeat = repeat;
  return variant;
}

/// The baseline and every layer dropped alone.
std::vector<Variant> drops() {
  std::vector<Variant> variants{{"baseline", {}}};
  for (int32_t layer = 0; layer < kLayers; ++layer) {
    variants.push_back(variant_of(std::to_string(layer) + " drop"));
  }
  return variants;
}

/// In sublayer passes, by the tree that the engine will follow.
int64_t passes_of(const std::vector<Variant>& variants, const std::vector<int32_t>& group) {
  std::vector<Variant> picked;
  for (const int32_t index : group) picked.push_back(variants[static_cast<size_t>(index)]);
  const LayerPasses passes = count_passes(build_stream_tree(picked, kLayers));
  return passes.attention + passes.mlp;
}

struct Cost {
  int64_t total = 0;
  int64_t largest = 0;
};
Cost cost_of(
    const std::vector<Variant>& variants, const std::vector<std::vector<int32_t>>& groups) {
  Cost cost;
  for (const auto& group : groups) {
    const int64_t passes = passes_of(variants, group);
    cost.total += passes;
    cost.largest = std::max(cost.largest, passes);
  }
  return cost;
}

}  // namespace

TEST_CASE("adding variants one by one counts the passes of their tree") {
  const std::vector<Variant> variants{
      variant_of(""),
      variant_of("20 drop"),
      variant_of("20 drop, 3 drop-mlp"),
      variant_of("0-27 magnitude 50"),
      variant_of("7 drop-attention"),
      variant_of("20 drop"),
      variant_of("0-27 magnitude 0")};
  GroupPasses passes(kLayers);
  std::vector<int32_t> group;
  for (int32_t i = 0; i < std::ssize(variants); ++i) {
    const int64_t before = passes.total();
    const int64_t added = passes.added_by(variants[static_cast<size_t>(i)]);
    passes.add(variants[static_cast<size_t>(i)]);
    group.push_back(i);
    CAPTURE(i);
    CHECK(passes.total() == before + added);
    CHECK(passes.total() == passes_of(variants, group));
  }
}

TEST_CASE("28 drops in G groups cost what the best contiguous split costs") {
  const std::vector<Variant> variants = drops();
  // Layer passes of the best splits: the total, and the largest group.
  struct Row {
    int32_t num_groups;
    int64_t total, largest;
  };
  for (const auto& [num_groups, total, largest] :
       {Row{1, 406, 406}, Row{4, 431, 113}, Row{7, 455, 75}}) {
    const auto groups =
        group_variants(variants, kLayers, EditedWeights::kByThemselves, kNoLimit, num_groups);
    const Cost cost = cost_of(variants, groups);
    CAPTURE(num_groups, cost.total, cost.largest);
    CHECK(std::ssize(groups) == num_groups);
    // The smallest largest group leaves some freedom to the others.
    CHECK(cost.total <= 2 * (total + total / 50));
    CHECK(cost.largest <= 2 * (largest + 2));
  }
}

TEST_CASE("every variant is in one group, whatever is asked for") {
  std::vector<Variant> variants = drops();
  for (const char* edits :
       {"0-27 magnitude 10",
        "0-27 magnitude 20",
        "5 drop",
        "0-27 magnitude 0",
        "3 drop, 20 drop",
        "4 drop-mlp"}) {
    variants.push_back(variant_of(edits));
  }
  variants.push_back(variant_of("", 1));
  for (const int32_t num_groups : {0, 1, 3, 100}) {
    const auto groups =
        group_variants(variants, kLayers, EditedWeights::kByThemselves, 252, num_groups);
    std::vector<int32_t> all;
    for (const auto& group : groups) {
      CHECK(std::is_sorted(group.begin(), group.end()));
      all.insert(all.end(), group.begin(), group.end());
    }
    std::sort(all.begin(), all.end());
    std::vector<int32_t> expected(variants.size());
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(all == expected);
    const auto group_of = [&](int32_t index) {
      return *std::find_if(groups.begin(), groups.end(), [&](const auto& group) {
        return std::find(group.begin(), group.end(), index) != group.end();
      });
    };
    CHECK(group_of(6) == group_of(31));  // 5 drop, twice
    CHECK(group_of(0) == group_of(32));  // the baseline and magnitude 0
    CHECK(group_of(29).size() == 1);     // own weights from the first layer on
    CHECK(group_of(35) == std::vector<int32_t>{35});
    if (num_groups == 0) {
      for (const auto& group : groups) CHECK(passes_of(variants, group) <= 252);
    }
  }
  CHECK(group_variants({}, kLayers, EditedWeights::kByThemselves, 252, 0).empty());
}

TEST_CASE("where edited weights go side by side, pruned variants are grouped as others are") {
  std::vector<Variant> variants{variant_of(""), variant_of("0 drop")};
  for (int percent = 10; percent < 100; percent += 10) {
    variants.push_back(variant_of("0-27 magnitude " + std::to_string(percent)));
  }
  // Four and a half models: nine are cut into three times three.
  const auto groups = group_variants(variants, kLayers, EditedWeights::kSideBySide, 252, 0);
  const std::vector<std::vector<int32_t>> expected{{0, 1}, {2, 3, 4}, {5, 6, 7}, {8, 9, 10}};
  CHECK(std::set(groups.begin(), groups.end()) == std::set(expected.begin(), expected.end()));
}
