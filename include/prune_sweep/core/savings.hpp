/// \file
/// What the engine saves by doing work once for several variants or questions. No result depends on
/// it, bit for bit on a CPU; it is there to be switched off, to see what it saves and that it
/// changes nothing.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace prune_sweep {

enum class Use : uint8_t { kOff = 0, kOn = 1 };

struct Savings {
  Use fork = Use::kOn;          ///< variants share the layers before they begin to differ
  Use prefix = Use::kOn;        ///< questions share their common prefix
  Use batch_decode = Use::kOn;  ///< answers are generated together, not one after the other
  Use kernels = Use::kOn;       ///< a GPU computes with kernels of our own, too
  Use graphs = Use::kOn;        ///< a GPU is given a step of generation at once
  int32_t row_block = 4096;     ///< rows that go through a sublayer together

  bool operator==(const Savings&) const = default;
};

/// The option that switches a saving off: `--no-fork`.
struct SavingOption {
  std::string_view name;  ///< without dashes
  Use Savings::*member;
};
inline constexpr std::array kSavingOptions{
    SavingOption{"no-fork", &Savings::fork},
    SavingOption{"no-prefix", &Savings::prefix},
    SavingOption{"no-batch-decode", &Savings::batch_decode},
    SavingOption{"no-kernels", &Savings::kernels},
    SavingOption{"no-graphs", &Savings::graphs},
};

}  // namespace prune_sweep
