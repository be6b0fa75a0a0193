/// \file
/// How the questions of a unit lie in one matrix of rows, without padding.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "prune_sweep/core/savings.hpp"

namespace prune_sweep {

/// First the prefix that all sequences share, then each sequence's own rows, one sequence behind
/// the other. A row attends to the prefix and, causally, to its own sequence.
struct PackedRows {
  /// Consecutive rows at consecutive positions.
  struct Run {
    int64_t first_row = 0;
    int64_t num_rows = 0;
    int64_t num_kept = 0;  ///< of these, the first ones, that text will be generated from
  };

  int64_t prefix_len = 0;
  std::vector<Run> sequences;
  std::vector<int32_t> ids;        // [rows]
  std::vector<int32_t> positions;  // [rows]

  int64_t num_rows() const { return static_cast<int64_t>(ids.size()); }
  /// Row of the token at `position` of sequence `index`.
  int64_t row_of(size_t index, int64_t position) const;
};

/// Queries of consecutive positions of a sequence, or of the prefix, which counts as one more
/// sequence behind the others; in consecutive rows.
struct QueryRun {
  int64_t run = 0;
  int64_t first_position = 0;
  int64_t count = 0;
  int64_t first_row = 0;
};

/// Queries of all packed rows, or of those that are named, in their order.
std::vector<QueryRun> all_queries(const PackedRows& packed);
std::vector<QueryRun> queries_of(const PackedRows& packed, const std::vector<int64_t>& rows);

/// Packs token sequences, none empty. At least one row of each is its own; without the use of a
/// prefix all are.
PackedRows pack_rows(std::span<const std::vector<int32_t>> sequences, Use prefix = Use::kOn);

}  // namespace prune_sweep
