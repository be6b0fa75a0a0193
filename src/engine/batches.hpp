/// \file
/// How the work of a unit is cut into batches that there is memory for.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <iterator>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace prune_sweep {

/// Consecutive variants, or requests.
struct Part {
  size_t first = 0;
  size_t count = 0;
  bool operator==(const Part&) const = default;
};

/// Part `index` of `size` in `num_parts`, none of which is more than one longer than another and
/// the first is the longest.
Part part_of(size_t size, size_t num_parts, size_t index);

/// A batch is a part of the variants and a part of the requests.
struct Cut {
  size_t num_variant_parts = 1;
  size_t num_request_parts = 1;
  bool operator==(const Cut&) const = default;
};

/// The fewest parts of `size` whose longest fits; nothing where not even one does.
std::optional<size_t> fewest_parts(size_t size, const std::function<bool(size_t length)>& fits);

/// The cheapest cut whose batches all fit; every variant and request by itself where even these do
/// not. Both functions are asked of a part of the variants with `num_requests` requests, the first
/// ones; preconditions: fewer requests fit where more do, and batches cost no less than they do
/// together.
Cut choose_cut(
    size_t num_variants,
    size_t num_requests,
    const std::function<bool(Part variants, size_t num_requests)>& fits,
    const std::function<double(Part variants, size_t num_requests)>& cost);

/// Drops answers to requests that are not answered for every variant.
template <typename Answer>
void keep_common(std::vector<std::vector<Answer>>& answers) {
  size_t least = answers.empty() ? 0 : answers.front().size();
  for (const auto& of_variant : answers) least = std::min(least, of_variant.size());
  for (auto& of_variant : answers) of_variant.resize(least);
}

/// Calls `work`(variants, requests) for every batch, all variants before the next requests, and
/// returns [variants][requests answered]. `work` may answer less than all of its requests, the
/// first ones; then, or when `should_stop`() says so between requests, the answers end there, for
/// all variants alike. Precondition: there are variants and requests.
template <typename V, typename R, typename Work, typename ShouldStop>
auto work_in_parts(
    std::span<const V> variants,
    std::span<const R> requests,
    const Cut& cut,
    ShouldStop should_stop,
    Work work) -> decltype(work(variants, requests)) {
  decltype(work(variants, requests)) all(variants.size());
  for (size_t r = 0; r < cut.num_request_parts; ++r) {
    if (r > 0 && should_stop()) break;
    const auto [first_request, num_requests] = part_of(requests.size(), cut.num_request_parts, r);
    auto asked = requests.subspan(first_request, num_requests);
    decltype(all) answers;
    for (size_t v = 0; v < cut.num_variant_parts && !asked.empty(); ++v) {
      const Part part = part_of(variants.size(), cut.num_variant_parts, v);
      auto more = work(variants.subspan(part.first, part.count), asked);
      // Nobody wants answers of other variants that these do not have.
      asked = asked.first(more.front().size());
      std::move(more.begin(), more.end(), std::back_inserter(answers));
    }
    keep_common(answers);
    for (size_t v = 0; v < answers.size(); ++v) {
      std::move(answers[v].begin(), answers[v].end(), std::back_inserter(all[v]));
    }
    if (asked.size() < num_requests) break;
  }
  return all;
}

}  // namespace prune_sweep
