/// \file
/// UnitKv in plain operations: keys and values as they come, all streams of a layer in one tensor.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
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

  at::Tensor attend_prompts(
      size_t layer, std::span<const int64_t> branches, const Qkv& qkv, Queries queries) override;
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
  /// What queries of the prompts read, all of them in either case.
  struct PromptParts {
    VarlenParts own;     ///< queries of sequences their own rows, others the prefix
    VarlenParts prefix;  ///< queries of sequences the prefix, others nothing
  };
  struct Rows;

  static KeyValues room(at::IntArrayRef shape, const at::Tensor& like);
  PromptParts parts_of(const std::vector<QueryRun>& queries, int64_t num_branches) const;
  /// The same, made when it is first asked for.
  const PromptParts& prompt_parts(Queries queries, int64_t num_branches);
  /// What a row reads of its prompt behind the prefix; there may be nothing.
  VarlenPart question_of(const GeneratedRow& row) const;
  /// Without a kernel of our own.
  Attended attend_in_parts(const Rows& rows, const at::Tensor& positions, const Qkv& qkv);

  const PackedRows& packed_;
  at::Device device_;
  DeviceOps ops_;
  std::vector<QueryRun> all_queries_;
  std::vector<QueryRun> wanted_queries_;
  std::map<std::pair<Queries, int64_t>, PromptParts> prompt_parts_;  // by number of branches
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
