/// \file
/// The faults of one worker's device: whether it should get no more work.
#pragma once

#include <cstdint>
#include <deque>

namespace prune_sweep {

/// Remembers over which units a worker's evaluators were lost. A unit counts once: that the same
/// one fails again says more of the unit than of the device.
class FaultLog {
 public:
  void add(int32_t unit, double now_s);
  /// The unit was at fault, not the device.
  void forgive(int32_t unit);
  void clear() { faults_.clear(); }
  /// Three units within ten minutes.
  bool is_device_suspect() const;

 private:
  struct Fault {
    int32_t unit = 0;
    double at_s = 0;
  };
  std::deque<Fault> faults_;
};

}  // namespace prune_sweep
