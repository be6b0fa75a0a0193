/// \file
/// Which rows of a benchmark's test files are asked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/core/job.hpp"

namespace prune_sweep {

/// A subject's test file.
struct SubjectSize {
  std::string subject;  ///< empty where the benchmark has none
  size_t num_rows = 0;
};

/// [subjects]: the rows asked of each, ascending.
///
/// A sample takes from each subject its share, rounded down, and one more from those with the
/// largest remainders (the earlier one on a tie) until it is full; the rows are drawn subject by
/// subject by Python's `random.Random(seed).sample(range(num_rows), count)`. Throws Error
/// (kBadInput) beginning with `where` for a subject or a row that is not there, and for a sample
/// larger than the benchmark.
std::vector<std::vector<int32_t>> select_rows(
    const Selection& selection, const std::vector<SubjectSize>& subjects, std::string_view where);

}  // namespace prune_sweep
