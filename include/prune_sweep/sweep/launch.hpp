/// \file
/// How the ranks were started, and what the loss of one costs then.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace prune_sweep {

enum class Launcher : uint8_t { kNone, kMpirun, kSrun };

/// What happens to the others when a rank dies.
enum class RankLoss : uint8_t {
  kFatal,       ///< the launcher ends them; the run can be resumed
  kSurvivable,  ///< they go on
};

struct Launch {
  Launcher launcher = Launcher::kNone;
  RankLoss loss = RankLoss::kFatal;
  bool operator==(const Launch&) const = default;
};

/// A variable of the environment; empty when it is not set.
using Environment = std::function<std::string(const char* name)>;
std::string process_variable(const char* name);

/// From the variables that launchers set. To be asked before MPI starts, which sets some of its
/// own.
Launch detect_launch(const Environment& variable = process_variable);

/// `mpirun`, `srun`, `alone`.
std::string name(Launcher launcher);
/// `survivable`, or `fatal` with the reason: `fatal (srun)`.
std::string rank_loss_text(const Launch& launch);

}  // namespace prune_sweep
