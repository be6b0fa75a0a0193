#include "engine/plain/varlen_attention.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/attention_parts.hpp"
#include "engine/to_device.hpp"

namespace prune_sweep {

namespace {

/// One part in plain operations; the yardstick of the kernel.
Attended attend_part(at::Tensor q, at::Tensor k, at::Tensor v, Mask mask) {
  const int64_t group = q.size(1) / k.size(1);
  const int64_t queries = q.size(0);
  const int64_t keys = k.size(0);
  if (keys == 0) {
    constexpr double kNothing = -std::numeric_limits<double>::infinity();
    const auto sums = q.options().dtype(at::kFloat);
    return {at::zeros_like(q), at::full({q.size(1), queries}, kNothing, sums)};
  }
  q = q.transpose(0, 1);                                         // [heads, queries, head_dim]
  k = k.repeat_interleave(group, /*dim=*/1).permute({1, 2, 0});  // [heads, head_dim, keys]
  v = v.repeat_interleave(group, /*dim=*/1).transpose(0, 1);     // [heads, keys, head_dim]
  at::Tensor scores = at::matmul(q.to(at::kFloat), k.to(at::kFloat)) * score_scale(q.size(2));
  if (mask == Mask::kCausal) {
    const at::Tensor is_hidden =
        at::ones({queries, keys}, scores.options().dtype(at::kBool)).triu(keys - queries + 1);
    scores.masked_fill_(is_hidden, -std::numeric_limits<float>::infinity());
  }
  const at::Tensor weights = at::softmax(scores, -1).to(q.scalar_type());
  return {at::matmul(weights, v).transpose(0, 1), at::logsumexp(scores, {-1})};
}

/// What the kernel can be launched with.
constexpr int64_t kMostParts = 65535;

Attended attend_by_kernel(
    const at::Tensor& q,
    const at::Tensor& k,
    const at::Tensor& v,
    const VarlenParts& parts,
    Mask mask) {
  auto [values, log_sum, rng_state, unused, debug] = at::_flash_attention_forward(
      q,
      k,
      v,
      parts.query_ends(),
      parts.first_keys(),
      parts.most_queries(),
      parts.most_keys(),
      /*dropout_p=*/0.0,
      /*is_causal=*/mask == Mask::kCausal,
      /*return_debug_mask=*/false,
      score_scale(q.size(2)),
      /*window_size_left=*/std::nullopt,
      /*window_size_right=*/std::nullopt,
      parts.num_keys(),
      /*alibi_slopes=*/std::nullopt);
  return {std::move(values), std::move(log_sum)};
}

/// Whether libtorch's kernel works with such queries here: it says no by throwing, and does so on
/// devices of a compute capability below 8.0.
bool has_kernel(const at::Tensor& q) {
  if (!q.is_cuda() || q.scalar_type() == at::kFloat || q.size(2) % 8 != 0 || q.size(2) > 256) {
    return false;
  }
  static const bool works = [&] {
    const at::Tensor row = at::zeros({1, 1, 8}, q.options());
    try {
      attend_by_kernel(row, row, row, VarlenParts({{1, 0, 1}}, q.device()), Mask::kNone);
      return true;
    } catch (const c10::OutOfMemoryError&) {
      throw;
    } catch (const c10::AcceleratorError&) {
      throw;
    } catch (const c10::Error&) {
      return false;
    }
  }();
  return works;
}

}  // namespace

VarlenParts::VarlenParts(std::vector<VarlenPart> parts, at::Device device)
    : parts_(std::move(parts)) {
  // One tensor, so that one copy takes all of it to the device.
  at::Tensor numbers = at::zeros({3, size() + 1}, at::kInt);
  int32_t* const query_ends = numbers.data_ptr<int32_t>();
  int32_t* const first_keys = query_ends + size() + 1;
  int32_t* const num_keys = first_keys + size() + 1;
  for (int64_t i = 0; i < size(); ++i) {
    const VarlenPart& part = parts_[static_cast<size_t>(i)];
    query_ends[i + 1] = query_ends[i] + static_cast<int32_t>(part.num_queries);
    first_keys[i] = static_cast<int32_t>(part.first_key);
    num_keys[i] = static_cast<int32_t>(part.num_keys);
    most_queries_ = std::max(most_queries_, part.num_queries);
    most_keys_ = std::max(most_keys_, part.num_keys);
  }
  numbers_ = to_device(numbers, device);
}

Attended attend_parts(
    const at::Tensor& q,
    const at::Tensor& k,
    const at::Tensor& v,
    const VarlenParts& parts,
    Mask mask) {
  if (has_kernel(q) && parts.size() <= kMostParts) return attend_by_kernel(q, k, v, parts, mask);
  Attended all{at::empty_like(q), at::empty({q.size(1), q.size(0)}, q.options().dtype(at::kFloat))};
  int64_t first = 0;
  for (const VarlenPart& part : parts.parts()) {
    const Attended attended = attend_part(
        q.narrow(0, first, part.num_queries),
        k.narrow(0, part.first_key, part.num_keys),
        v.narrow(0, part.first_key, part.num_keys),
        mask);
    all.values.narrow(0, first, part.num_queries).copy_(attended.values);
    all.log_sum.narrow(1, first, part.num_queries).copy_(attended.log_sum);
    first += part.num_queries;
  }
  return all;
}

Attended plain::merge(const Attended& a, const Attended& b) {
  const auto sums_of = [](const Attended& part) {
    return part.log_sum.masked_fill(
        part.log_sum.isposinf(), -std::numeric_limits<double>::infinity());
  };
  const at::Tensor of_a = sums_of(a);
  const at::Tensor of_b = sums_of(b);
  const at::Tensor log_sum = at::logaddexp(of_a, of_b);
  const auto share = [&](const at::Tensor& values, const at::Tensor& sums) {
    return values.to(at::kFloat) * (sums - log_sum).exp().transpose(0, 1).unsqueeze(-1);
  };
  return {(share(a.values, of_a) + share(b.values, of_b)).to(a.values.scalar_type()), log_sum};
}

}  // namespace prune_sweep
