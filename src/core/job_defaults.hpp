/// \file
/// Defaults of job keys that the reader and the default job share.
#pragma once

#include <string_view>

namespace prune_sweep {

inline constexpr std::string_view kDefaultMagnitudes = "0,10,20,30,40,50,60,70,80,90";

}  // namespace prune_sweep
