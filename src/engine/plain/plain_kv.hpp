/// \file
/// UnitKv in plain operations: keys and values as they come, all streams of a layer in one tensor.
#pragma once

#include <cstdint>
#include <optional>
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
  at::Tensor attend_generated(
      size_t layer, const std::vector<GeneratedRow>& rows, const Qkv& qkv) override;

 private:
  struct KeyValues {
    at::Tensor k;  // [any, kv_heads, head_dim]
    at::Tensor v;
  };
  /// What queries of the prompts read.
  struct PromptParts {
    VarlenParts own;         ///< all queries: those of sequences their own rows, others the prefix
    at::Tensor in_sequence;  // indices of the queries that read the prefix besides
    VarlenParts prefix;      ///< of these
  };

  /// What tokens that are generated read, and where they are stored.
  struct GeneratedParts {
    std::vector<GeneratedRow> rows;
    at::Tensor stored_at;
    VarlenParts prefix;
    VarlenParts question;
    at::Tensor without_question;  // indices of rows whose prompt is all in the prefix
    VarlenParts generated;
  };

  PromptParts parts_of(const std::vector<QueryRun>& queries) const;
  GeneratedParts parts_of(const std::vector<GeneratedRow>& rows) const;
  static KeyValues room(int64_t rows, const Qkv& qkv);

  const PackedRows& packed_;
  at::Device device_;
  DeviceOps ops_;
  PromptParts all_;
  PromptParts wanted_;
  KeepKv keep_;
  std::vector<int64_t> num_branches_;  // [layers]
  std::vector<KeyValues> prompts_;     // [layers]: rows of branch after branch
  std::vector<KeyValues> own_;         // [layers]: slot after slot
  std::optional<GeneratedParts> latest_;
  int64_t num_slots_ = 0;
  int64_t capacity_ = 0;
};

}  // namespace prune_sweep
