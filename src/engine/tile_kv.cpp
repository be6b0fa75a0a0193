#include "engine/tile_kv.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/attention.hpp"

namespace prune_sweep {

struct TileKv::Rows final : GeneratedRows {
  size_t layer = 0;
  std::vector<GeneratedRow> rows;
};

TileKv::TileKv(
    const PackedRows& packed,
    const std::vector<int64_t>& wanted_rows,
    const StreamTree& tree,
    KeepKv keep)
    : layout_(packed),
      kept_layout_(packed, KvLayout::Rows::kKept),
      all_queries_(all_queries(packed)),
      wanted_queries_(queries_of(packed, wanted_rows)),
      keep_(keep),
      are_all_kept_(std::all_of(
          packed.sequences.begin(),
          packed.sequences.end(),
          [](const PackedRows::Run& run) { return run.num_kept == run.num_rows; })),
      generated_(tree.levels.size()) {
  if (keep == KeepKv::kNo) return;
  for (const std::vector<Branch>& level : tree.levels) kept_.emplace_back(level.size());
}

at::Tensor TileKv::attend_prompts(
    size_t layer, std::span<const int64_t> branches, const Qkv& qkv, Queries queries) {
  std::vector<at::Tensor> attended;
  for (size_t i = 0; i < branches.size(); ++i) {
    const auto part = [&](const at::Tensor& of_all) {
      const int64_t rows = of_all.size(0) / std::ssize(branches);
      return of_all.narrow(0, static_cast<int64_t>(i) * rows, rows);
    };
    attended.push_back(attend_branch(
        layer, static_cast<size_t>(branches[i]), {part(qkv.q), part(qkv.k), part(qkv.v)}, queries));
  }
  return attended.size() == 1 ? attended.front() : at::cat(attended);
}

at::Tensor TileKv::attend_branch(size_t layer, size_t branch, const Qkv& qkv, Queries queries) {
  if (keep_ == KeepKv::kYes) fill(kept_[layer][branch], qkv.k, qkv.v, kept_layout_);
  const bool is_kept = keep_ == KeepKv::kYes && are_all_kept_;
  if (!is_kept) fill(scratch_, qkv.k, qkv.v, layout_);
  const KvBlocks& all = is_kept ? kept_[layer][branch] : scratch_;
  return attend_packed(
      qkv.q, queries == Queries::kAllRows ? all_queries_ : wanted_queries_, all, layout_);
}

void TileKv::reserve_generated(int64_t num_slots, int64_t capacity) {
  num_slots_ = num_slots;
  capacity_ = capacity;
}

std::unique_ptr<GeneratedRows> TileKv::tell_rows(
    size_t layer, const std::vector<GeneratedRow>& rows) const {
  auto told = std::make_unique<Rows>();
  told->layer = layer;
  told->rows = rows;
  return told;
}

at::Tensor TileKv::attend_generated(
    const GeneratedRows& rows, const at::Tensor& positions, const Qkv& qkv) {
  const auto& told = static_cast<const Rows&>(rows);
  const size_t layer = told.layer;
  std::optional<GeneratedKv>& generated = generated_[layer];
  if (!generated) generated.emplace(num_slots_, capacity_, qkv.k);
  const int32_t* position = positions.const_data_ptr<int32_t>();
  std::vector<GeneratedKv::Place> places;
  std::vector<StoredRow> stored;
  for (const GeneratedRow& row : told.rows) {
    const int64_t num_before = *position++ - row.prompt_len;
    places.push_back({row.slot, num_before});
    stored.push_back(
        {.prompts = &kept_[layer][row.branch],
         .run = row.run,
         .prompt_len = row.prompt_len,
         .slot = row.slot,
         .num_generated = num_before + 1});
  }
  generated->put(places, qkv.k, qkv.v);
  return attend_stored(qkv.q, stored, kept_layout_, *generated);
}

}  // namespace prune_sweep
