#include "engine/kv_blocks.hpp"

#include <ATen/ATen.h>

#include "engine/tile_types.hpp"
#include "prune_sweep/core/large_pages.hpp"

namespace prune_sweep {

void KvBlocks::reserve(
    int64_t kv_heads, int64_t head_dim, int64_t num_columns, at::ScalarType stored) {
  arithmetic_ = tiles::arithmetic_of(stored);
  kv_heads_ = kv_heads;
  head_dim_ = head_dim;
  num_columns_ = num_columns;
  with_multiplied_type(arithmetic_, [&](auto zero) {
    using C = decltype(zero);
    column_words_ = tiles::words<C>(head_dim);
    step_words_ = kStep * column_words_ + tiles::words<C>(kStep) * head_dim;
  });
  const int64_t needed = kv_heads * num_columns / kStep * step_words_;
  if (words_.defined() && words_.numel() >= needed) return;
  words_ = at::empty({needed}, at::kInt);
  advise_large_pages(words_.const_data_ptr(), words_.nbytes());
}

}  // namespace prune_sweep
