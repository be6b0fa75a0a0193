#include "prune_sweep/core/shard.hpp"

#include <charconv>
#include <string>
#include <vector>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

constexpr int32_t kMaxShards = 9999;

std::optional<int32_t> positive(std::string_view text) {
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1) return std::nullopt;
  return value;
}

/// Of every variant: its share of the units it is in.
std::vector<double> costs_of(const Plan& plan) {
  std::vector<double> costs(plan.variants.size(), 0);
  for (const Unit& unit : plan.units) {
    const double share = unit.flops / static_cast<double>(unit.variants.size());
    for (const int32_t variant : unit.variants) costs[static_cast<size_t>(variant)] += share;
  }
  return costs;
}

/// Cuts [1, costs.size()) into `count` ranges, none empty; returns where they begin, and the end.
std::vector<size_t> cut(const std::vector<double>& costs, size_t count) {
  double total = 0;
  for (size_t i = 1; i < costs.size(); ++i) total += costs[i];
  std::vector<size_t> begins{1};
  double sum = 0;
  for (size_t i = 1; i < costs.size() && begins.size() < count; ++i) {
    sum += costs[i];
    const double wanted = total * static_cast<double>(begins.size()) / static_cast<double>(count);
    const size_t num_left = costs.size() - (i + 1);
    const size_t num_ranges_left = count - begins.size();
    if (num_left == num_ranges_left || (sum >= wanted && num_left > num_ranges_left)) {
      begins.push_back(i + 1);
    }
  }
  begins.push_back(costs.size());
  return begins;
}

}  // namespace

Shard parse_shard(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    const auto index = positive(text.substr(0, slash));
    const auto count = positive(text.substr(slash + 1));
    if (index && count && *index <= *count && *count <= kMaxShards) return {*index, *count};
  }
  bad_input(
      "--shard=" + printable(text), "is not a part of a whole", "Write 1/4 for the first of four.");
}

std::filesystem::path shard_dir(const std::filesystem::path& output_dir, const Shard& shard) {
  std::filesystem::path dir = output_dir;
  if (!dir.has_filename()) dir = dir.parent_path();
  return dir += "-" + std::to_string(shard.index) + "-of-" + std::to_string(shard.count);
}

Job shard_of(Job job, const Plan& plan, const Shard& shard) {
  const auto count = static_cast<size_t>(shard.count);
  if (plan.variants.size() <= count) {
    bad_input(
        job.source + ": --shard=" + std::to_string(shard.index) + "/" + std::to_string(shard.count),
        "there are only " + std::to_string(plan.variants.size() - 1) +
            " variants beside the baseline",
        "Take fewer shards.");
  }
  const std::vector<size_t> begins = cut(costs_of(plan), count);
  const size_t begin = begins[static_cast<size_t>(shard.index) - 1];
  const size_t end = begins[static_cast<size_t>(shard.index)];
  // The order of a plan's variants: see enumerate_variants().
  const size_t num_named = job.sweep.variants.size();
  const size_t first_named = plan.variants.size() - num_named;
  const size_t first_magnitude = first_named - job.sweep.magnitude.size();
  Job::Sweep part{.layers = "", .magnitude = {}, .scope = job.sweep.scope, .variants = {}};
  for (size_t v = begin; v < end; ++v) {
    if (v >= first_named) {
      part.variants.push_back(job.sweep.variants[v - first_named]);
    } else if (v >= first_magnitude) {
      part.magnitude.push_back(job.sweep.magnitude[v - first_magnitude]);
    } else {
      if (!part.layers.empty()) part.layers += ",";
      part.layers += std::to_string(plan.variants[v].edits.front().layer);
    }
  }
  if (part.layers.empty()) part.layers = "none";
  job.sweep = std::move(part);
  job.output_dir = shard_dir(job.output_dir, shard);
  return job;
}

}  // namespace prune_sweep
