#include "prune_sweep/sweep/launch.hpp"

#include <map>

#include "catch.hpp"

using namespace prune_sweep;

namespace {

Launch launch_with(const std::map<std::string, std::string>& variables) {
  return detect_launch([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  });
}

}  // namespace

TEST_CASE("launchers are known by the variables that they were seen to set") {
  CHECK(launch_with({}) == Launch{Launcher::kNone, RankLoss::kFatal});
  CHECK(
      launch_with({{"OMPI_COMM_WORLD_SIZE", "2"}, {"PMIX_RANK", "0"}}) ==
      Launch{Launcher::kMpirun, RankLoss::kFatal});
  CHECK(
      launch_with({{"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_MCA_orte_enable_recovery", "1"}}) ==
      Launch{Launcher::kMpirun, RankLoss::kSurvivable});
  CHECK(
      launch_with(
          {{"SLURM_JOB_ID", "3"},
           {"SLURM_STEP_ID", "0"},
           {"SLURM_PROCID", "1"},
           {"PMIX_RANK", "1"}}) == Launch{Launcher::kSrun, RankLoss::kFatal});
  // A rank of mpirun on another node of an allocation, below a daemon that srun has started.
  CHECK(
      launch_with(
          {{"SLURM_JOB_ID", "3"},
           {"SLURM_STEP_ID", "0"},
           {"SLURM_PROCID", "0"},
           {"PMIX_RANK", "1"},
           {"OMPI_MCA_orte_enable_recovery", "1"},
           {"OMPI_COMM_WORLD_SIZE", "2"}}) == Launch{Launcher::kMpirun, RankLoss::kSurvivable});
  // The batch script itself.
  CHECK(
      launch_with({{"SLURM_JOB_ID", "3"}, {"SLURM_PROCID", "0"}}) ==
      Launch{Launcher::kNone, RankLoss::kFatal});
}

TEST_CASE("what the loss of a rank costs is said with its reason") {
  CHECK(rank_loss_text({Launcher::kSrun, RankLoss::kFatal}) == "fatal (srun)");
  CHECK(rank_loss_text({Launcher::kMpirun, RankLoss::kSurvivable}) == "survivable");
  CHECK(
      rank_loss_text({Launcher::kMpirun, RankLoss::kFatal}) ==
      "fatal (mpirun without --enable-recovery)");
  CHECK(name(Launcher::kNone) == "alone");
}
