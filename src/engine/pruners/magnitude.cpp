#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <ranges>

#include "engine/pruner.hpp"
#include "engine/pruners/magnitude_zeros.hpp"
#include "engine/team.hpp"
#include "prune_sweep/core/large_pages.hpp"

namespace prune_sweep {

namespace {

/// Stored weights that are ranked together with others, in flat order.
struct Stretch {
  StoredType type;
  const char* bytes;
  int64_t size;  ///< elements

  Stretch part(int64_t first, int64_t count) const {
    const int64_t element_bytes = type == StoredType::kFloat32 ? 4 : 2;
    return {type, bytes + first * element_bytes, count};
  }
};

/// The magnitude is |w| as the bits of a float32, sign bit off: as integers they are ordered as |w|
/// is, and -0 equals 0.
uint32_t magnitude_of_bfloat16(uint16_t word) { return uint32_t{word & 0x7fffU} << 16; }
uint32_t magnitude_of_float16(uint16_t word) {
  return std::bit_cast<uint32_t>(c10::detail::fp16_ieee_to_fp32_value(word & 0x7fffU));
}
uint32_t magnitude_of_float32(uint32_t word) { return word & 0x7fffffffU; }

template <typename Word, typename Magnitude, typename F>
void for_each_word(const Stretch& weights, Magnitude magnitude, F f) {
  for (int64_t i = 0; i < weights.size; ++i) {
    Word word;
    std::memcpy(&word, weights.bytes + i * static_cast<int64_t>(sizeof word), sizeof word);
    f(i, magnitude(word));
  }
}

/// Calls f(i, magnitude) for all elements in order.
template <typename F>
void for_each_magnitude(const Stretch& weights, F f) {
  switch (weights.type) {
    case StoredType::kBfloat16:
      return for_each_word<uint16_t>(weights, magnitude_of_bfloat16, f);
    case StoredType::kFloat16:
      return for_each_word<uint16_t>(weights, magnitude_of_float16, f);
    case StoredType::kFloat32:
      return for_each_word<uint32_t>(weights, magnitude_of_float32, f);
  }
}

/// Of a word of 16 bits.
uint32_t magnitude_of(uint16_t word, StoredType type) {
  return type == StoredType::kBfloat16 ? magnitude_of_bfloat16(word) : magnitude_of_float16(word);
}

/// What is zeroed: every magnitude below `magnitude`, and of those equal to it the first `ties[i]`
/// of stretch i.
struct Cut {
  uint32_t magnitude = 0;
  std::vector<int64_t> ties;
};

/// The same of one tensor.
struct TensorCut {
  uint32_t magnitude = 0;
  int64_t ties = 0;
};

/// Digits of a magnitude, highest first. bfloat16 and float16 have nothing in the last.
struct Digit {
  int shift;
  uint32_t size;
};
constexpr std::array kDigits{Digit{20, 1 << 11}, Digit{9, 1 << 11}, Digit{0, 1 << 9}};

using Histogram = std::vector<int64_t>;

/// How many elements there are by value of `digit`, among those whose higher digits are those of
/// `prefix`.
Histogram count_digit(std::span<const Stretch> stretches, uint32_t prefix, Digit digit) {
  const int above = std::countr_zero(digit.size) + digit.shift;
  const uint32_t wanted = prefix >> above;
  Histogram total(digit.size, 0);
  std::mutex mutex;
  at::parallel_for(0, std::ssize(stretches), 1, [&](int64_t begin, int64_t end) {
    Histogram mine(digit.size, 0);
    for (int64_t s = begin; s < end; ++s) {
      for_each_magnitude(stretches[static_cast<size_t>(s)], [&](int64_t, uint32_t magnitude) {
        if (magnitude >> above == wanted) ++mine[(magnitude >> digit.shift) & (digit.size - 1)];
      });
    }
    const std::lock_guard lock(mutex);
    for (size_t i = 0; i < total.size(); ++i) total[i] += mine[i];
  });
  return total;
}

/// The cut that zeroes exactly `count` elements. Ties go by order of stretches, then by flat index:
/// so the zeros of a smaller count are among those of a larger one.
Cut smallest(std::span<const Stretch> stretches, int64_t count) {
  Cut cut;
  cut.ties.assign(stretches.size(), 0);
  if (count == 0) return cut;
  bool has_last_digit = false;
  for (const Stretch& stretch : stretches) has_last_digit |= stretch.type == StoredType::kFloat32;

  int64_t left = count;
  for (const Digit digit : kDigits) {
    if (digit.shift == 0 && !has_last_digit) continue;
    const Histogram histogram = count_digit(stretches, cut.magnitude, digit);
    uint32_t value = 0;
    while (left > histogram[value]) left -= histogram[value++];
    cut.magnitude |= value << digit.shift;
  }
  for (size_t s = 0; s < stretches.size() && left > 0; ++s) {
    int64_t equal = 0;
    for_each_magnitude(
        stretches[s], [&](int64_t, uint32_t magnitude) { equal += magnitude == cut.magnitude; });
    cut.ties[s] = std::min(equal, left);
    left -= cut.ties[s];
  }
  return cut;
}

/// The same for one weight of 16 bits whose elements are counted.
TensorCut smallest_of(const std::vector<int32_t>& counts, StoredType type, int64_t count) {
  if (count == 0) return {};
  uint16_t word = 0;
  while (count > counts[word]) count -= counts[word++];
  return {magnitude_of(word, type), count};
}

/// The least magnitude, as stored bits without their sign, that is not below `magnitude`.
uint32_t stored_magnitude(uint32_t magnitude, StoredType type) {
  if (type == StoredType::kFloat32) return magnitude;
  const auto is_below = [&](int word) {
    return magnitude_of(static_cast<uint16_t>(word), type) < magnitude;
  };
  const auto words = std::views::iota(0, 1 << 15);
  return static_cast<uint32_t>(*std::ranges::partition_point(words, is_below));
}

/// The place from which on elements stay that equal the cut's magnitude.
int64_t first_kept(const Stretch& stretch, uint32_t stored_magnitude, int64_t ties) {
  if (stretch.type == StoredType::kFloat32) {
    return end_of_equal(uint32_t{}, stretch.bytes, stretch.size, stored_magnitude, ties);
  }
  return end_of_equal(uint16_t{}, stretch.bytes, stretch.size, stored_magnitude, ties);
}

ZeroCut zero_cut(const Stretch& stretch, const TensorCut& cut) {
  const uint32_t magnitude = stored_magnitude(cut.magnitude, stretch.type);
  return {magnitude, first_kept(stretch, magnitude, cut.ties)};
}

/// Fills `copy` with the weight [rows, width], zeroed; both on the CPU.
void copy_zeroed(const at::Tensor& weights, const WeightZeros& zeros, const at::Tensor& copy) {
  const auto fill = [&](auto element) {
    using T = decltype(element);
    const int64_t width = weights.size(1);
    zeros.copy(weights.const_data_ptr<T>(), width, {0, weights.size(0)}, copy.data_ptr<T>(), width);
  };
  switch (weights.scalar_type()) {
    case at::kFloat:
      fill(float{});
      break;
    case at::kHalf:
      fill(c10::Half{});
      break;
    default:
      fill(c10::BFloat16{});
  }
}

/// Zeroes exactly floor(P n / 100) weights of smallest magnitude of each tensor, of each output
/// row, or of all tensors of the edited layers together.
class MagnitudePruner final : public Pruner {
 public:
  MagnitudePruner(
      const Weights& weights,
      MagnitudeCounts& counts,
      const Edit& edit,
      std::span<const int32_t> layers)
      : weights_(weights), counts_(counts), amount_(edit.amount), scope_(edit.scope) {
    if (scope_ == MagnitudeScope::kGlobal) rank_globally({layers.begin(), layers.end()});
  }

  LayerWeights prune(int32_t layer) const override {
    return weights_.embedding().is_cpu() ? prune_on_cpu(layer) : prune_on_device(layer);
  }

  std::shared_ptr<const LayerZeros> zeros(int32_t layer) const override {
    auto zeros = std::make_shared<LayerZeros>();
    for_linear_weights(layer, [&](size_t linear) { (*zeros)[linear] = zeros_of(layer, linear); });
    return zeros;
  }

 private:
  Stretch stretch(int32_t layer, size_t linear) const {
    const TensorView& view = weights_.stored(layer, kLinearWeights[linear]);
    return {view.type, view.bytes.data(), view.shape[0] * view.shape[1]};
  }

  /// Calls `work`(linear) for all of a layer, in several threads.
  template <typename Work>
  void for_linear_weights(int32_t layer, Work work) const {
    // The largest first, so that no thread is left with one at the end.
    std::array<size_t, kLinearWeights.size()> order{};
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(
        order, std::greater{}, [&](size_t linear) { return stretch(layer, linear).size; });
    share_tasks(std::ssize(order), 1, [&](TaskCounter& counter) {
      for (int64_t task = 0; counter.take(task);) work(order[static_cast<size_t>(task)]);
    });
  }

  LayerWeights prune_on_cpu(int32_t layer) const {
    LayerWeights pruned = weights_.layer(layer);
    // Made here, where memory that was used once is kept, and not in the threads.
    for (const LinearWeight& linear : kLinearWeights) {
      at::Tensor& copy = pruned.*linear.member;
      copy = at::empty_like(copy);
      advise_large_pages(copy.const_data_ptr(), copy.nbytes());
    }
    for_linear_weights(layer, [&](size_t linear) {
      const auto member = kLinearWeights[linear].member;
      copy_zeroed(weights_.layer(layer).*member, zeros_of(layer, linear), pruned.*member);
    });
    return pruned;
  }

  /// There where it can be; what is decided row by row, or on weights that are stored in another
  /// type, is pruned on the CPU and copied.
  LayerWeights prune_on_device(int32_t layer) const {
    LayerWeights pruned = weights_.layer(layer);
    // Counts that are not there yet are made here, several at a time.
    for_linear_weights(layer, [&](size_t linear) { cut_of(layer, linear); });
    for (size_t linear = 0; linear < kLinearWeights.size(); ++linear) {
      at::Tensor& tensor = pruned.*kLinearWeights[linear].member;
      const StoredType stored = stretch(layer, linear).type;
      const std::optional<TensorCut> cut = cut_of(layer, linear);
      if (cut && stored != StoredType::kFloat32 && scalar_type(stored) == tensor.scalar_type()) {
        tensor = plain::with_zeros(tensor, stored_magnitude(cut->magnitude, stored), cut->ties);
        continue;
      }
      const at::Tensor weights = tensor.to(at::kCPU);
      const at::Tensor copy = at::empty_like(weights);
      copy_zeroed(weights, zeros_of(layer, linear), copy);
      tensor = copy.to(tensor.device());
    }
    adjoin(pruned);
    return pruned;
  }

  /// Of a whole tensor; nothing where it has more cuts than one, or its elements are not counted.
  std::optional<TensorCut> cut_of(int32_t layer, size_t linear) const {
    if (scope_ == MagnitudeScope::kGlobal) {
      const auto found = std::find(ranked_layers_.begin(), ranked_layers_.end(), layer);
      const auto index = static_cast<size_t>(found - ranked_layers_.begin());
      return TensorCut{global_.magnitude, global_.ties.at(index * kLinearWeights.size() + linear)};
    }
    const Stretch stored = stretch(layer, linear);
    if (scope_ != MagnitudeScope::kTensor || stored.type == StoredType::kFloat32) {
      return std::nullopt;
    }
    return smallest_of(counts_.of(layer, linear), stored.type, amount_.of(stored.size));
  }

  void rank_globally(std::vector<int32_t> layers) {
    std::vector<Stretch> stretches;
    int64_t size = 0;
    for (const int32_t layer : layers) {
      for (size_t linear = 0; linear < kLinearWeights.size(); ++linear) {
        stretches.push_back(stretch(layer, linear));
        size += stretches.back().size;
      }
    }
    ranked_layers_ = std::move(layers);
    global_ = smallest(stretches, amount_.of(size));
  }

  WeightZeros zeros_of(int32_t layer, size_t linear) const {
    const TensorView& view = weights_.stored(layer, kLinearWeights[linear]);
    const Stretch all = stretch(layer, linear);
    WeightZeros zeros{all.bytes, std::ssize(view.bytes) / all.size, {}};
    if (const std::optional<TensorCut> cut = cut_of(layer, linear)) {
      zeros.cuts.push_back(zero_cut(all, *cut));
      return zeros;
    }
    const int64_t step = scope_ == MagnitudeScope::kRow ? view.shape[1] : all.size;
    for (int64_t first = 0; first < all.size; first += step) {
      const Stretch part = all.part(first, step);
      const Cut cut = smallest({&part, 1}, amount_.of(step));
      zeros.cuts.push_back(zero_cut(part, {cut.magnitude, cut.ties.front()}));
    }
    return zeros;
  }

  const Weights& weights_;
  MagnitudeCounts& counts_;
  Percent amount_;
  MagnitudeScope scope_;
  std::vector<int32_t> ranked_layers_;  // kGlobal: ascending
  Cut global_;                          // kGlobal: ties by ranked layer, then by linear weight
};

}  // namespace

std::unique_ptr<Pruner> make_magnitude_pruner(
    const Weights& weights,
    MagnitudeCounts& counts,
    const Edit& edit,
    std::span<const int32_t> layers) {
  return std::make_unique<MagnitudePruner>(weights, counts, edit, layers);
}

}  // namespace prune_sweep
