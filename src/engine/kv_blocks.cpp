#include "engine/kv_blocks.hpp"

#include <ATen/ATen.h>

#include "prune_sweep/core/large_pages.hpp"

namespace prune_sweep {

using c10::BFloat16;

void KvBlocks::reserve(
    int64_t kv_heads, int64_t head_dim, int64_t num_columns, at::ScalarType stored) {
  arithmetic_ = tiles::arithmetic_of(stored);
  kv_heads_ = kv_heads;
  head_dim_ = head_dim;
  num_columns_ = num_columns;
  const auto words = [this](int64_t count) {
    return arithmetic_ == tiles::Arithmetic::kBfloat16 ? tiles::words<BFloat16>(count)
                                                       : tiles::words<float>(count);
  };
  column_words_ = words(head_dim);
  step_words_ = kStep * column_words_ + words(kStep) * head_dim;
  const int64_t needed = kv_heads * num_columns / kStep * step_words_;
  if (words_.defined() && words_.numel() >= needed) return;
  words_ = at::empty({needed}, at::kInt);
  advise_large_pages(words_.const_data_ptr(), words_.nbytes());
}

}  // namespace prune_sweep
