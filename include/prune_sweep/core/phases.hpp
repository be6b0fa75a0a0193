/// \file
/// Where a unit's time went.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace prune_sweep {

/// Values are on disk: append, never renumber.
enum class Phase : uint8_t { kPrefix = 0, kQuestions = 1, kDecode = 2, kHead = 3, kEdit = 4 };

struct PhaseInfo {
  std::string_view name;  ///< of the column, with `_s` behind it
  std::string_view description;
};
inline constexpr std::array kPhases{
    PhaseInfo{
        "prefix",
        "of elapsed_s, layers for the rows of the common prefix, by their share of the rows"},
    PhaseInfo{"questions", "of elapsed_s, layers for the other rows of prompts"},
    PhaseInfo{"decode", "of elapsed_s, layers for generated tokens"},
    PhaseInfo{"head", "of elapsed_s, the LM head"},
    PhaseInfo{"edit", "of elapsed_s, making edited weights"},
};

/// Seconds by phase. What is in none (prompts, scores) is missing in their sum.
using PhaseSeconds = std::array<double, kPhases.size()>;

inline double& seconds_of(PhaseSeconds& seconds, Phase phase) {
  return seconds[static_cast<size_t>(phase)];
}

}  // namespace prune_sweep
