/// \file
/// UnitKv in plain operations: keys and values as they come, all streams of a layer in one tensor.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/packed_rows.hpp"
#include "engine/plain/device_ops.hpp"
#include "engine/plain/varlen_attention.hpp"
#include "engine/unit_kv.hpp"
#include "prune_sweep/core/stream_tree.hpp"

namespace prune_sweep {

/// Every query is attended to in two parts, the shared prefix and its own sequence, which are
/// merged: the prefix is read once for all queries of a stream.
class PlainKv final : public UnitKv {
 public:
  PlainKv(
      const PackedRows& packed,
      const std::vector<int64_t>& wanted_rows,
      const StreamTree& tree,
      KeepKv keep,
      at::Device device,
      const DeviceOps& ops = DeviceOps());

  at::Tensor attend_prompts(size_t layer, size_t branch, const Qkv& qkv, Queries queries) override;
  void reserve_generated(int64_t num_slots, int64_t capacity) override;
  std::unique_ptr<GeneratedRows> tell_rows(
      size_t layer, const std::vector<GeneratedRow>& rows) const override;
  at::Tensor attend_generated(
      const GeneratedRows& rows, const at::Tensor& positions, const Qkv& qkv) override;

 private:
  struct KeyValues {
    at::Tensor k;
    at::Tensor v;
  };
  /// Consecutive rows.
  struct Stretch {
    int64_t first = 0;
    int64_t count = 0;
  };
  /// What queries of the prompts read.
  struct PromptParts {
    VarlenParts own;  ///< all queries: those of sequences their own rows, others the prefix
    std::vector<Stretch> in_sequence;  ///< of the queries that read the prefix besides
    at::Tensor in_sequence_index;      // the same as indices, where it is more than one stretch
    VarlenParts prefix;                ///< of these
  };
  struct Rows;

  static KeyValues room(at::IntArrayRef shape, const at::Tensor& like);
  PromptParts parts_of(const std::vector<QueryRun>& queries) const;
  /// What a row reads of its prompt behind the prefix; there may be nothing.
  VarlenPart question_of(const GeneratedRow& row) const;
  void merge_prefix(Attended& own, const Qkv& qkv, const PromptParts& parts) const;
  /// Without a kernel of our own.
  Attended attend_in_parts(const Rows& rows, const at::Tensor& positions, const Qkv& qkv);

  const PackedRows& packed_;
  at::Device device_;
  DeviceOps ops_;
  PromptParts all_;
  PromptParts wanted_;
  KeepKv keep_;
  std::vector<int64_t> num_branches_;  // [layers]
  std::vector<KeyValues> prompts_;  // [layers]: [rows of branch after branch, kv_heads, head_dim]
  /// [layers]: [slots, kv_heads, capacity, head_dim] for the kernel, else [slots * capacity,
  /// kv_heads, head_dim].
  std::vector<KeyValues> own_;
  int64_t num_slots_ = 0;
  int64_t capacity_ = 0;
};

}  // namespace prune_sweep
