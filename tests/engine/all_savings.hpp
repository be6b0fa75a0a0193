/// \file
/// What tests of "no result depends on it" run over.
#pragma once

#include <vector>

#include "prune_sweep/core/savings.hpp"

namespace prune_sweep {

/// Every saving alone off, all off, and row blocks that cut sequences.
inline std::vector<Savings> all_savings() {
  std::vector<Savings> list(kSavingOptions.size() + 3);
  for (size_t i = 0; i < kSavingOptions.size(); ++i) {
    list[i].*kSavingOptions[i].member = Use::kOff;
    list[kSavingOptions.size()].*kSavingOptions[i].member = Use::kOff;
  }
  list[kSavingOptions.size() + 1].row_block = 64;
  list[kSavingOptions.size() + 2].row_block = 300;
  return list;
}

}  // namespace prune_sweep
