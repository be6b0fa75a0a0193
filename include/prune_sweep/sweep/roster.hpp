/// \file
/// Who takes part in a run: what its ranks have said of themselves, and who may not.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "prune_sweep/protocol/message.hpp"
#include "prune_sweep/sweep/launch.hpp"

namespace prune_sweep {

/// What two ranks on one GPU are.
enum class DeviceUse : uint8_t {
  kNone,    ///< nothing to care for: the run computes on CPUs
  kOwn,     ///< an error
  kShared,  ///< intended
};

class Roster {
 public:
  /// `own` is rank 0's hello: its build is the run's.
  Roster(Hello own, int32_t num_ranks, DeviceUse use);

  /// Why the rank may not take part; empty when it may.
  std::string add(int32_t rank, const Hello& hello);

  bool is_complete() const { return static_cast<int32_t>(hellos_.size()) == num_ranks_; }
  /// Of a rank that has said hello; else empty.
  std::string host_of(int32_t rank) const;
  bool is_on_own_host(int32_t rank) const { return host_of(rank) == host_of(0); }

  /// How the run was launched, in one line.
  std::string launch_line(const Launch& launch) const;
  /// A line for each host under a heading: its ranks, cores, memory and devices; and who is silent.
  std::string table() const;

 private:
  int32_t num_ranks_;
  DeviceUse use_;
  std::map<int32_t, Hello> hellos_;
};

}  // namespace prune_sweep
