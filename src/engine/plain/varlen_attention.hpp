/// \file
/// Attention of packed sequences of different lengths, in the form of the flash-attention library
/// (arXiv 2307.08691), whose kernel is used on devices that have it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace prune_sweep {

/// Consecutive rows of queries, and the consecutive rows of keys and values that they read.
struct VarlenPart {
  int64_t num_queries = 0;
  int64_t first_key = 0;
  int64_t num_keys = 0;
};

/// Parts whose queries lie one behind the other, as a kernel wants to be told of them.
class VarlenParts {
 public:
  VarlenParts(std::vector<VarlenPart> parts, at::Device device);

  const std::vector<VarlenPart>& parts() const { return parts_; }
  int64_t size() const { return static_cast<int64_t>(parts_.size()); }
  int64_t most_queries() const { return most_queries_; }
  int64_t most_keys() const { return most_keys_; }
  at::Tensor query_ends() const { return numbers_[0]; }  // [parts + 1], int32, 0 first
  at::Tensor first_keys() const { return numbers_[1]; }  // [parts + 1], int32
  at::Tensor num_keys() const { return numbers_[2].narrow(0, 0, size()); }  // [parts], int32

 private:
  std::vector<VarlenPart> parts_;
  int64_t most_queries_ = 0;
  int64_t most_keys_ = 0;
  at::Tensor numbers_;  // [3, parts + 1], int32, on the device
};

enum class Mask : uint8_t {
  kNone,
  kCausal,  ///< a part's last query sees all its keys, the one before it all but the last ...
};

/// Weighted values, and the logarithms of the sums of powers that they were divided by. A query
/// without keys has zeros and an infinite sum: of either sign, since libtorch's kernel says plus.
struct Attended {
  at::Tensor values;   // [queries, heads, head_dim]
  at::Tensor log_sum;  // [heads, queries], float32
};

/// Scaled dot-product attention with grouped heads, scores and softmax in float32.
Attended attend_parts(
    const at::Tensor& q,  // [queries, heads, head_dim]
    const at::Tensor& k,  // [any, kv_heads, head_dim]
    const at::Tensor& v,
    const VarlenParts& parts,
    Mask mask);

/// Whether the sums of what was merged are of use afterwards.
enum class LogSums : uint8_t { kMerged, kNotWanted };

/// DeviceOps::merge in plain operations.
namespace plain {
Attended merge(const Attended& a, const Attended& b);
}  // namespace plain

}  // namespace prune_sweep
