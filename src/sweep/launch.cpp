#include "prune_sweep/sweep/launch.hpp"

#include <cstdlib>

namespace prune_sweep {

std::string process_variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

Launch detect_launch(const Environment& variable) {
  // mpirun's daemons on other hosts are themselves started by srun: its variables are there too.
  if (!variable("OMPI_COMM_WORLD_SIZE").empty() || !variable("PRTE_LAUNCHED").empty()) {
    // Open MPI 4 and 5.
    for (const char* name : {"OMPI_MCA_orte_enable_recovery", "PRTE_MCA_prte_enable_recovery"}) {
      const std::string value = variable(name);
      if (value == "1" || value == "true") return {Launcher::kMpirun, RankLoss::kSurvivable};
    }
    return {Launcher::kMpirun, RankLoss::kFatal};
  }
  const bool is_step = !variable("SLURM_STEP_ID").empty() && !variable("SLURM_PROCID").empty();
  if (is_step && (!variable("PMIX_RANK").empty() || !variable("PMI_RANK").empty())) {
    return {Launcher::kSrun, RankLoss::kFatal};
  }
  return {};
}

std::string name(Launcher launcher) {
  switch (launcher) {
    case Launcher::kMpirun:
      return "mpirun";
    case Launcher::kSrun:
      return "srun";
    case Launcher::kNone:
      break;
  }
  return "alone";
}

std::string rank_loss_text(const Launch& launch) {
  if (launch.loss == RankLoss::kSurvivable) return "survivable";
  switch (launch.launcher) {
    case Launcher::kMpirun:
      return "fatal (mpirun without --enable-recovery)";
    case Launcher::kSrun:
      return "fatal (srun)";
    case Launcher::kNone:
      break;
  }
  return "fatal (the only one)";
}

}  // namespace prune_sweep
