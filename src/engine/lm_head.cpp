#include "engine/lm_head.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/kernels.hpp"
#include "engine/lanes.hpp"
#include "engine/rows.hpp"

namespace prune_sweep {

namespace {

/// Ids whose logits are computed at once; their rows of the head in float32 stay in the cache.
constexpr int64_t kIdBlock = 2048;

/// Rows whose logits over the whole vocabulary are held at once.
constexpr int64_t kGreedyRows = 128;

/// What is known of a row's logits so far.
struct RowState {
  float top = -std::numeric_limits<float>::infinity();
  int32_t top_id = -1;
  double total = 0;  ///< of e^(logit - top)

  float log_total() const { return top + static_cast<float>(std::log(total)); }
};

PRUNE_SWEEP_CLONES void add_logits(
    const float* logits, int64_t count, int64_t first_id, RowState& state) {
  Lanes largest = Lanes{} - std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < count; i += kLanes) {
    const Lanes values = load(logits + i, count - i);
    largest = larger(largest, first_lanes(count - i) ? values : largest);
  }
  const float top = max(largest);
  if (top > state.top) {
    state.total *= std::exp(static_cast<double>(state.top) - static_cast<double>(top));
    state.top = top;
    state.top_id =
        static_cast<int32_t>(first_id + (std::find(logits, logits + count, top) - logits));
  }
  Lanes total{};
  for (int64_t i = 0; i < count; i += kLanes) {
    const Lanes powers = exp(load(logits + i, count - i) - state.top);
    total += first_lanes(count - i) ? powers : Lanes{};
  }
  state.total += static_cast<double>(sum(total));
}

/// Ids of the largest value, ascending; none when no value is a number.
template <typename T>
std::vector<int64_t> ids_of_largest(const T* values, int64_t count) {
  float largest = -std::numeric_limits<float>::infinity();
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(values[i]);
    if (value < largest || std::isnan(value)) continue;
    if (value > largest) ids.clear();
    largest = value;
    ids.push_back(i);
  }
  return ids;
}

}  // namespace

LmHead::LmHead(
    const ModelConfig& config, const Weights& weights, const std::function<void()>& on_progress)
    : config_(config), weights_(weights), on_progress_(on_progress) {}

at::Tensor LmHead::norm(const at::Tensor& hidden) const {
  return rms_norm(hidden, weights_.final_norm(), config_.norm_eps);
}

void LmHead::for_each_part(
    const at::Tensor& hidden, const std::function<void(int64_t, const at::Tensor&)>& f) const {
  const at::Tensor rows = norm(hidden).to(at::kFloat);
  const int64_t min_rows = min_gemm_rows(config_.hidden, kIdBlock);
  for (int64_t first = 0; first < config_.vocab_size; first += kIdBlock) {
    const int64_t count = std::min<int64_t>(kIdBlock, config_.vocab_size - first);
    const at::Tensor head = weights_.head().narrow(0, first, count).to(at::kFloat);
    const auto product = [&](const std::vector<at::Tensor>& in) {
      on_progress_();
      return std::vector<at::Tensor>{at::linear(in[0], head)};
    };
    f(first, map_row_blocks({rows}, min_rows, product).front().cpu());
  }
}

std::vector<LmHead::Score> LmHead::score(
    const at::Tensor& hidden, std::span<const Target> targets) const {
  std::vector<RowState> states(static_cast<size_t>(hidden.size(0)));
  std::vector<float> logits(targets.size());
  for_each_part(hidden, [&](int64_t first, const at::Tensor& part) {
    const int64_t count = part.size(1);
    const float* values = part.const_data_ptr<float>();
    at::parallel_for(0, part.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        add_logits(values + row * count, count, first, states[static_cast<size_t>(row)]);
      }
    });
    for (size_t i = 0; i < targets.size(); ++i) {
      const int64_t column = targets[i].id - first;
      if (column >= 0 && column < count) logits[i] = values[targets[i].row * count + column];
    }
  });
  std::vector<Score> scores;
  for (size_t i = 0; i < targets.size(); ++i) {
    const RowState& state = states[static_cast<size_t>(targets[i].row)];
    scores.push_back({logits[i] - state.log_total(), state.top_id == targets[i].id});
  }
  return scores;
}

std::vector<float> LmHead::logprobs(const at::Tensor& hidden) const {
  RowState state;
  std::vector<float> values;
  for_each_part(hidden, [&](int64_t first, const at::Tensor& part) {
    const float* logits = part.const_data_ptr<float>();
    values.insert(values.end(), logits, logits + part.size(1));
    add_logits(logits, part.size(1), first, state);
  });
  for (float& value : values) value -= state.log_total();
  return values;
}

int32_t LmHead::greedy_of(const at::Tensor& normed, const at::Tensor& logits) const {
  std::vector<int64_t> ids;
  with_element_type(logits, [&](auto zero) {
    ids = ids_of_largest(logits.const_data_ptr<decltype(zero)>(), logits.size(-1));
  });
  if (ids.empty()) return -1;
  if (ids.size() == 1 || logits.scalar_type() == at::kFloat)
    return static_cast<int32_t>(ids.front());
  // Rounding keeps order, so the largest float32 logit is among those whose rounded logits tie.
  const at::Tensor candidates = at::tensor(ids, at::kLong).to(normed.device());
  const at::Tensor exact =
      weights_.head().index_select(0, candidates).to(at::kFloat).mv(normed.to(at::kFloat)).cpu();
  const std::vector<int64_t> best =
      ids_of_largest(exact.const_data_ptr<float>(), static_cast<int64_t>(ids.size()));
  return best.empty() ? -1 : static_cast<int32_t>(ids[static_cast<size_t>(best.front())]);
}

std::vector<int32_t> LmHead::greedy(const at::Tensor& hidden) const {
  const at::Tensor normed = norm(hidden);
  const int64_t min_rows = min_gemm_rows(config_.hidden, config_.vocab_size);
  std::vector<int32_t> ids;
  for (int64_t first = 0; first < normed.size(0); first += kGreedyRows) {
    const at::Tensor rows = normed.narrow(0, first, std::min(kGreedyRows, normed.size(0) - first));
    const auto product = [&](const std::vector<at::Tensor>& in) {
      on_progress_();
      return std::vector<at::Tensor>{at::linear(in[0], weights_.head())};
    };
    const at::Tensor logits = map_row_blocks({rows}, min_rows, product).front().cpu();
    for (int64_t i = 0; i < rows.size(0); ++i) ids.push_back(greedy_of(rows[i], logits[i]));
  }
  return ids;
}

}  // namespace prune_sweep
