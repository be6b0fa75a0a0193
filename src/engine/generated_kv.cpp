#include "engine/generated_kv.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "engine/team.hpp"
#include "engine/tile_types.hpp"

namespace prune_sweep {

namespace {

using tiles::Word;

constexpr int64_t kStep = KvBlocks::kStep;

/// Elements of one head as words: two bfloat16 of neighbouring dimensions, or one float.
template <typename T, typename C>
void put_key(const T* k, int64_t head_dim, Word* column) {
  for (int64_t i = 0; i < head_dim; i += tiles::kPerWord<C>, column += kStep) {
    const int64_t count = std::min(head_dim - i, tiles::kPerWord<C>);
    Word word = 0;
    if constexpr (std::is_same_v<T, C>) {
      std::memcpy(&word, k + i, sizeof(C) * static_cast<size_t>(count));
    } else {
      const C wide(k[i]);
      std::memcpy(&word, &wide, sizeof wide);
    }
    *column = word;
  }
}

template <typename T, typename C>
void put_value(const T* v, int64_t head_dim, C* row) {
  for (int64_t i = 0; i < head_dim; ++i) row[i * tiles::kPerWord<C>] = static_cast<C>(v[i]);
}

/// Token `offset` of a block.
template <typename T, typename C>
void put_token(const T* k, const T* v, int64_t head_dim, int64_t offset, Word* keys, Word* values) {
  put_key<T, C>(k, head_dim, keys + offset);
  if (offset == 0) {
    std::memset(values, 0, sizeof(Word) * static_cast<size_t>(tiles::words<C>(kStep) * head_dim));
  }
  Word* const row = values + offset / tiles::kPerWord<C> * head_dim;
  put_value(v, head_dim, reinterpret_cast<C*>(row) + offset % tiles::kPerWord<C>);
}

}  // namespace

GeneratedKv::GeneratedKv(int64_t num_slots, int64_t capacity, const at::Tensor& like)
    : capacity_(KvBlocks::steps_up(capacity)) {
  blocks_.reserve(like.size(1), like.size(2), num_slots * capacity_, like.scalar_type());
}

void GeneratedKv::put(const std::vector<Place>& places, const at::Tensor& k, const at::Tensor& v) {
  const int64_t kv_heads = blocks_.kv_heads();
  const int64_t head_dim = blocks_.head_dim();
  with_tile_types(k.scalar_type(), blocks_.arithmetic(), [&](auto stored, auto multiplied) {
    using T = decltype(stored);
    const T* const all_k = k.const_data_ptr<T>();
    const T* const all_v = v.const_data_ptr<T>();
    // A head's tokens are some microseconds' work.
    share_tasks(kv_heads, 1, [&](TaskCounter& counter) {
      for (int64_t kv_head = 0; counter.take(kv_head);) {
        for (size_t i = 0; i < places.size(); ++i) {
          const auto& [slot, token] = places[i];
          const KvBlocks::Block block = block_of(slot, token / kStep);
          const int64_t from = (static_cast<int64_t>(i) * kv_heads + kv_head) * head_dim;
          put_token<T, decltype(multiplied)>(
              all_k + from,
              all_v + from,
              head_dim,
              token % kStep,
              blocks_.keys(kv_head, block),
              blocks_.values(kv_head, block));
        }
      }
    });
  });
}

}  // namespace prune_sweep
