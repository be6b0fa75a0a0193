#include "engine/tile_kv.hpp"

#include <ATen/ATen.h>

#include "engine/attention.hpp"

namespace prune_sweep {

TileKv::TileKv(
    const PackedRows& packed,
    const std::vector<int64_t>& wanted_rows,
    const StreamTree& tree,
    KeepKv keep)
    : layout_(packed),
      all_queries_(all_queries(packed)),
      wanted_queries_(queries_of(packed, wanted_rows)),
      keep_(keep),
      own_(tree.levels.size()) {
  if (keep == KeepKv::kNo) return;
  for (const std::vector<Branch>& level : tree.levels) kept_.emplace_back(level.size());
}

at::Tensor TileKv::attend_prompts(size_t layer, size_t branch, const Qkv& qkv, Queries queries) {
  StreamKv& kv = keep_ == KeepKv::kYes ? kept_[layer][branch] : scratch_;
  kv.fill(qkv.k, qkv.v, layout_);
  const bool is_all = queries == Queries::kAllRows;
  return attend_packed(qkv.q, is_all ? all_queries_ : wanted_queries_, kv, layout_);
}

void TileKv::reserve_generated(int64_t num_slots, int64_t capacity) {
  num_slots_ = num_slots;
  capacity_ = capacity;
}

at::Tensor TileKv::attend_generated(
    size_t layer, const std::vector<GeneratedRow>& rows, const Qkv& qkv) {
  Own& own = own_[layer];
  if (!own.k.defined()) {
    // Untouched memory costs nothing, so every slot has room for the longest answer.
    const auto make = [&] {
      return at::empty({num_slots_ * capacity_, qkv.k.size(1), qkv.k.size(2)}, qkv.k.options());
    };
    own = {make(), make()};
  }
  std::vector<int64_t> stored_at;
  std::vector<StoredRow> stored;
  for (const GeneratedRow& row : rows) {
    const int64_t first = row.slot * capacity_;
    stored_at.push_back(first + row.num_before);
    stored.push_back(
        {.prompt = &kept_[layer][row.branch],
         .run = row.run,
         .prompt_len = row.prompt_len,
         .own_k = &own.k,
         .own_v = &own.v,
         .first_own = first,
         .num_own = row.num_before + 1});
  }
  const at::Tensor index = at::tensor(stored_at, at::kLong);
  own.k.index_copy_(0, index, qkv.k);
  own.v.index_copy_(0, index, qkv.v);
  return attend_stored(qkv.q, stored, layout_);
}

}  // namespace prune_sweep
