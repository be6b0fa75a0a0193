#include "prune_sweep/core/grouping.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>

namespace prune_sweep {

namespace {

using Indices = std::vector<int32_t>;

bool are_equal(const Edit* a, const Edit* b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

int64_t passes_of(const Edit* edit) {
  if (edit == nullptr) return 2;
  const EditEffect effect = info(edit->kind).effect;
  return (effect.keeps_attention ? 1 : 0) + (effect.keeps_mlp ? 1 : 0);
}

/// First layer at which a variant leaves the baseline; num_layers for the baseline itself.
int32_t fork_layer(const Variant& variant, int32_t num_layers) {
  for (const Edit& edit : variant.edits) {
    if (!edit.is_identity()) return edit.layer;
  }
  return num_layers;
}

/// The first of all variants that are the same model, by their index.
Indices first_of_model(std::span<const Variant> variants) {
  std::map<std::string, int32_t> known;
  Indices first;
  for (int32_t i = 0; i < std::ssize(variants); ++i) {
    const Variant& variant = variants[static_cast<size_t>(i)];
    first.push_back(known.emplace(effective_edits_text(variant.edits), i).first->second);
  }
  return first;
}

/// Cuts the front of `order` off while its passes stay within `largest`; one variant at least.
size_t length_within(
    std::span<const Variant> variants,
    std::span<const int32_t> order,
    int32_t num_layers,
    int64_t largest) {
  GroupPasses passes(num_layers);
  size_t length = 0;
  for (const int32_t index : order) {
    const Variant& variant = variants[static_cast<size_t>(index)];
    if (length > 0 && passes.total() + passes.added_by(variant) > largest) break;
    passes.add(variant);
    ++length;
  }
  return length;
}

std::vector<Indices> cut(
    std::span<const Variant> variants,
    std::span<const int32_t> order,
    int32_t num_layers,
    int64_t largest) {
  std::vector<Indices> groups;
  while (!order.empty()) {
    const size_t length = length_within(variants, order, num_layers, largest);
    groups.emplace_back(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(length));
    order = order.subspan(length);
  }
  return groups;
}

/// As many groups as `largest` needs, or `num_groups`, with the smallest largest one.
std::vector<Indices> cut_evenly(
    std::span<const Variant> variants,
    std::span<const int32_t> order,
    int32_t num_layers,
    int64_t largest,
    int32_t num_groups) {
  const size_t wanted = num_groups > 0 ? static_cast<size_t>(num_groups)
                                       : cut(variants, order, num_layers, largest).size();
  int64_t low = 0;
  int64_t high = 2 * int64_t{num_layers} * std::ssize(order);
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (cut(variants, order, num_layers, middle).size() <= wanted) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return cut(variants, order, num_layers, high);
}

/// Stretches of `order` whose neighbours share layers, or are alike in whether they need weights of
/// their own: if they do, only where these go side by side.
std::vector<Indices> stretches_of(
    std::span<const Variant> variants,
    const Indices& order,
    int32_t num_layers,
    EditedWeights edited) {
  const auto changes_weights = [](const Variant& variant) {
    return std::any_of(variant.edits.begin(), variant.edits.end(), [](const Edit& edit) {
      return !edit.is_identity() && info(edit.kind).effect.changes_weights;
    });
  };
  std::vector<Indices> stretches;
  for (const int32_t index : order) {
    const Variant& variant = variants[static_cast<size_t>(index)];
    bool joins = false;
    if (!stretches.empty()) {
      GroupPasses neighbour(num_layers);
      neighbour.add(variants[static_cast<size_t>(stretches.back().back())]);
      const LayerPasses alone = count_passes_alone(variant, num_layers);
      const bool is_edited = changes_weights(variant);
      const bool are_alike =
          is_edited == changes_weights(variants[static_cast<size_t>(stretches.back().back())]);
      joins = neighbour.added_by(variant) < alone.attention + alone.mlp ||
              (are_alike && (!is_edited || edited == EditedWeights::kSideBySide));
    }
    if (!joins) stretches.emplace_back();
    stretches.back().push_back(index);
  }
  return stretches;
}

}  // namespace

const GroupPasses::Known* GroupPasses::find(size_t layer, int32_t from, const Edit* edit) const {
  const auto& known = streams_[layer];
  const auto found = std::find_if(known.begin(), known.end(), [&](const Known& each) {
    return each.from == from && are_equal(each.edit, edit);
  });
  return found == known.end() ? nullptr : &*found;
}

int64_t GroupPasses::added_by(const Variant& variant) const {
  int64_t added = 0;
  int32_t stream = 0;
  bool is_known = true;
  for (size_t layer = 0; layer < streams_.size(); ++layer) {
    const Edit* edit = variant.edit_of(static_cast<int32_t>(layer));
    const Known* known = is_known ? find(layer, stream, edit) : nullptr;
    is_known = known != nullptr;
    if (is_known) {
      stream = known->to;
    } else {
      added += passes_of(edit);
    }
  }
  return added;
}

void GroupPasses::add(const Variant& variant) {
  total_ += added_by(variant);
  int32_t stream = 0;
  for (size_t layer = 0; layer < streams_.size(); ++layer) {
    const Edit* edit = variant.edit_of(static_cast<int32_t>(layer));
    const Known* known = find(layer, stream, edit);
    if (known == nullptr) {
      auto& all = streams_[layer];
      all.push_back({stream, edit, static_cast<int32_t>(all.size())});
      known = &all.back();
    }
    stream = known->to;
  }
}

std::vector<std::vector<int32_t>> group_variants(
    std::span<const Variant> variants,
    int32_t num_layers,
    EditedWeights edited,
    int64_t largest,
    int32_t num_groups) {
  const Indices first = first_of_model(variants);
  Indices order;
  for (int32_t i = 0; i < std::ssize(variants); ++i) {
    const bool is_repeat = variants[static_cast<size_t>(i)].repeat > 0;
    if (!is_repeat && first[static_cast<size_t>(i)] == i) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return fork_layer(variants[static_cast<size_t>(a)], num_layers) >
           fork_layer(variants[static_cast<size_t>(b)], num_layers);
  });
  std::vector<Indices> groups;
  for (const Indices& stretch : stretches_of(variants, order, num_layers, edited)) {
    for (Indices& group : cut_evenly(variants, stretch, num_layers, largest, num_groups)) {
      groups.push_back(std::move(group));
    }
  }
  for (Indices& group : groups) {
    for (int32_t i = 0; i < std::ssize(variants); ++i) {
      const bool is_same =
          first[static_cast<size_t>(i)] != i && variants[static_cast<size_t>(i)].repeat == 0 &&
          std::find(group.begin(), group.end(), first[static_cast<size_t>(i)]) != group.end();
      if (is_same) group.push_back(i);
    }
    std::sort(group.begin(), group.end());
  }
  for (int32_t i = 0; i < std::ssize(variants); ++i) {
    if (variants[static_cast<size_t>(i)].repeat > 0) groups.push_back({i});
  }
  return groups;
}

}  // namespace prune_sweep
