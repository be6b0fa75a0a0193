#include "engine/plain/plain_head.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/to_device.hpp"

namespace prune_sweep {

namespace {

/// Without a kernel that takes rows of logits as they are, they are made in blocks of this size.
constexpr int64_t kIdBlock = 16384;
constexpr int64_t kRowsAtOnce = 1024;
/// A device has another kernel for almost every number of rows, and loads it when it is first used.
constexpr int64_t kRowStep = 128;

constexpr double kLowest = -std::numeric_limits<double>::infinity();

std::vector<int32_t> to_host(const at::Tensor& ids) {
  const at::Tensor on_cpu = ids.to(at::kCPU, at::kInt);
  const int32_t* begin = on_cpu.const_data_ptr<int32_t>();
  return {begin, begin + on_cpu.numel()};
}
std::vector<float> floats_to_host(const at::Tensor& values) {
  const at::Tensor on_cpu = values.to(at::kCPU, at::kFloat);
  const float* begin = on_cpu.const_data_ptr<float>();
  return {begin, begin + on_cpu.numel()};
}

/// On a device, with rows of zeros behind them, so that their number is a multiple of kRowStep.
at::Tensor with_whole_steps(const at::Tensor& hidden) {
  if (hidden.is_cpu()) return hidden;
  const int64_t more = (kRowStep - hidden.size(0) % kRowStep) % kRowStep;
  return more == 0 ? hidden : at::constant_pad_nd(hidden, {0, 0, 0, more});
}

/// [rows, ids], float32, of products that are exact: `x` and `head` are already rounded.
at::Tensor logits_of(const at::Tensor& x, const at::Tensor& head) {
  const bool sums_in_float = x.is_cuda() && x.scalar_type() != at::kFloat;
  return sums_in_float ? at::mm(x, head.t(), at::kFloat)
                       : at::linear(x.to(at::kFloat), head.to(at::kFloat));
}

}  // namespace

/// LogitStates of blocks of ids, one after the other.
struct PlainHead::RowStates : LogitStates {
  RowStates(int64_t rows, const at::TensorOptions& options)
      : LogitStates{
            at::full({rows}, kLowest, options.dtype(at::kFloat)),
            at::full({rows}, -1, options.dtype(at::kInt)),
            at::zeros({rows}, options.dtype(at::kDouble))} {}
  explicit RowStates(LogitStates states) : LogitStates(std::move(states)) {}

  void add(const at::Tensor& logits, int64_t first_id) {  // [rows, ids]
    const at::Tensor numbers = at::where(logits.isnan(), kLowest, logits);
    const at::Tensor block_top = numbers.amax(1);
    // The lowest id among equals; which of them amax's index is, is not said.
    const at::Tensor ids = at::arange(logits.size(1), top_id.options());
    const at::Tensor is_top = numbers == block_top.unsqueeze(1);
    const at::Tensor block_id = at::where(is_top, ids, logits.size(1)).amin(1) + first_id;

    const at::Tensor is_larger = block_top > top;
    const at::Tensor new_top = at::maximum(block_top, top);
    total = total * (top - new_top).to(at::kDouble).exp() +
            (logits - new_top.unsqueeze(1)).exp().sum(1, /*keepdim=*/false, at::kDouble);
    top_id = at::where(is_larger, block_id, top_id).to(at::kInt);
    top = new_top;
  }
  at::Tensor log_total() const { return top + total.log().to(at::kFloat); }
};

template <typename OnLogits>
PlainHead::RowStates PlainHead::scan(
    const at::Tensor& hidden, LogitsUse use, OnLogits on_logits) const {
  const at::Tensor x = ops_.rms_norm(hidden, {weights_.final_norm(), config_.norm_eps});
  if (ops_.can_scan_logits()) {
    on_progress_();
    const at::Tensor logits = logits_of(x, weights_.head());
    on_logits(logits, 0);
    return RowStates(ops_.scan_logits(logits, use));
  }
  RowStates states(hidden.size(0), x.options());
  for (int64_t first = 0; first < config_.vocab_size; first += kIdBlock) {
    on_progress_();
    const int64_t count = std::min<int64_t>(kIdBlock, config_.vocab_size - first);
    const at::Tensor logits = logits_of(x, weights_.head().narrow(0, first, count));
    states.add(logits, first);
    on_logits(logits, first);
  }
  return states;
}

std::vector<LmHead::Score> PlainHead::score(
    const at::Tensor& hidden, std::span<const Target> targets) const {
  std::vector<Score> scores(targets.size());
  for (int64_t begin = 0; begin < hidden.size(0); begin += kRowsAtOnce) {
    const int64_t end = std::min(hidden.size(0), begin + kRowsAtOnce);
    std::vector<size_t> here;
    std::vector<int64_t> rows;
    std::vector<int64_t> ids;
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i].row < begin || targets[i].row >= end) continue;
      here.push_back(i);
      rows.push_back(targets[i].row - begin);
      ids.push_back(targets[i].id);
    }
    if (here.empty()) continue;
    const at::Tensor row_index = indices_on(hidden.device(), rows);
    const at::Tensor id_index = indices_on(hidden.device(), ids);
    at::Tensor target_logits = at::zeros({std::ssize(ids)}, hidden.options().dtype(at::kFloat));
    const auto keep_targets = [&](const at::Tensor& logits, int64_t first) {
      const at::Tensor column = id_index - first;
      const at::Tensor is_here = (column >= 0).logical_and(column < logits.size(1));
      const at::Tensor values = logits.index({row_index, column.clamp(0, logits.size(1) - 1)});
      target_logits = at::where(is_here, values, target_logits);
    };
    const at::Tensor rows_here = with_whole_steps(hidden.narrow(0, begin, end - begin));
    const RowStates states = scan(rows_here, LogitsUse::kTotal, keep_targets);
    const std::vector<float> logprobs =
        floats_to_host(target_logits - states.log_total().index_select(0, row_index));
    const std::vector<int32_t> top_ids = to_host(states.top_id.index_select(0, row_index));
    for (size_t i = 0; i < here.size(); ++i) {
      scores[here[i]] = {logprobs[i], top_ids[i] == targets[here[i]].id};
    }
  }
  return scores;
}

std::vector<float> PlainHead::logprobs(const at::Tensor& hidden) const {
  std::vector<at::Tensor> blocks;
  const RowStates states = scan(hidden, LogitsUse::kTotal, [&](const at::Tensor& logits, int64_t) {
    blocks.push_back(logits.flatten());
  });
  return floats_to_host(at::cat(blocks) - states.log_total());
}

at::Tensor PlainHead::greedy(const at::Tensor& hidden) const {
  std::vector<at::Tensor> ids;
  for (int64_t begin = 0; begin < hidden.size(0); begin += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, hidden.size(0) - begin);
    const at::Tensor rows = hidden.narrow(0, begin, count);
    ids.push_back(scan(rows, LogitsUse::kGreedy, [](const at::Tensor&, int64_t) {}).top_id);
  }
  return at::cat(ids);
}

}  // namespace prune_sweep
