#include "engine/packed_rows.hpp"

#include <algorithm>
#include <iterator>

namespace prune_sweep {

namespace {

/// Length of the longest common prefix that leaves every sequence a token of its own.
size_t shared_length(std::span<const std::vector<int32_t>> sequences) {
  if (sequences.size() < 2) return 0;
  const std::vector<int32_t>& first = sequences.front();
  size_t length = first.size() - 1;
  for (const std::vector<int32_t>& other : sequences.subspan(1)) {
    length = std::min(length, other.size() - 1);
    const auto end = first.begin() + static_cast<std::ptrdiff_t>(length);
    length =
        static_cast<size_t>(std::mismatch(first.begin(), end, other.begin()).first - first.begin());
  }
  return length;
}

}  // namespace

int64_t PackedRows::row_of(size_t index, int64_t position) const {
  if (position < prefix_len) return position;
  return sequences[index].first_row + position - prefix_len;
}

std::vector<QueryRun> all_queries(const PackedRows& packed) {
  std::vector<QueryRun> queries;
  const auto num_sequences = std::ssize(packed.sequences);
  if (packed.prefix_len > 0) queries.push_back({num_sequences, 0, packed.prefix_len, 0});
  for (int64_t i = 0; i < num_sequences; ++i) {
    const PackedRows::Run& run = packed.sequences[static_cast<size_t>(i)];
    queries.push_back({i, packed.prefix_len, run.num_rows, run.first_row});
  }
  return queries;
}

std::vector<QueryRun> queries_of(const PackedRows& packed, const std::vector<int64_t>& rows) {
  std::vector<QueryRun> queries;
  for (int64_t i = 0; i < std::ssize(rows); ++i) {
    const int64_t row = rows[static_cast<size_t>(i)];
    if (row < packed.prefix_len) {
      queries.push_back({std::ssize(packed.sequences), row, 1, i});
      continue;
    }
    // The last sequence that begins at or before the row.
    const auto behind = std::upper_bound(
        packed.sequences.begin(),
        packed.sequences.end(),
        row,
        [](int64_t wanted, const PackedRows::Run& run) { return wanted < run.first_row; });
    const auto run = std::prev(behind);
    queries.push_back(
        {run - packed.sequences.begin(), packed.prefix_len + row - run->first_row, 1, i});
  }
  return queries;
}

PackedRows pack_rows(std::span<const std::vector<int32_t>> sequences, Use prefix) {
  PackedRows rows;
  const auto append = [&rows](const std::vector<int32_t>& ids, size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      rows.ids.push_back(ids[i]);
      rows.positions.push_back(static_cast<int32_t>(i));
    }
  };
  const size_t prefix_len = prefix == Use::kOn ? shared_length(sequences) : 0;
  if (prefix_len > 0) append(sequences.front(), 0, prefix_len);
  rows.prefix_len = static_cast<int64_t>(prefix_len);
  for (const std::vector<int32_t>& ids : sequences) {
    const auto num_own = static_cast<int64_t>(ids.size() - prefix_len);
    rows.sequences.push_back({rows.num_rows(), num_own, num_own});
    append(ids, prefix_len, ids.size());
  }
  return rows;
}

}  // namespace prune_sweep
