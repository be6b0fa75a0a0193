/// \file
/// The batch script of a job: what it asks SLURM for, and what it runs there. Texts only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace prune_sweep {

/// What a job asks SLURM for. Texts are empty where the site's default is taken.
struct Allocation {
  int32_t num_nodes = 1;
  int32_t ranks_per_node = 1;
  int32_t cores_per_rank = 1;
  int32_t gpus_per_node = 0;
  int32_t num_shards = 1;  ///< so many allocations, as an array
  std::string time = "04:00:00";
  std::string memory;  ///< of a node
  std::string partition;
  std::string account;
  std::string qos;
  std::string constraint;

  int32_t num_ranks() const { return num_nodes * ranks_per_node; }
};

/// A batch job: an allocation and what runs in it.
struct BatchJob {
  Allocation allocation;
  std::filesystem::path program;  ///< prune-sweep itself
  std::string launcher = "mpirun";
  int32_t max_requeues = 20;
  std::vector<std::string> arguments;  ///< of `prune-sweep run`
  std::filesystem::path log_dir;
};

/// `text` as one word of a shell, whatever is in it. Throws Error (kBadInput) for control
/// characters, which no name of a file should have: `what` names the text in the message.
std::string shell_quoted(std::string_view text, std::string_view what);

/// Seconds of a time limit as sbatch takes it: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS.
/// Throws Error (kBadInput) beginning with `--time=`.
double time_limit_s(std::string_view text);

/// The whole script. Throws Error (kBadInput) for numbers below one and for words that sbatch would
/// not take as one: those are never quoted into an option, but refused by name.
std::string sbatch_script(const BatchJob& job);

}  // namespace prune_sweep
