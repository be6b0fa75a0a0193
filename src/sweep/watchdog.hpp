/// \file
/// An end for calls that have none of their own.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

namespace prune_sweep {

/// Ends the process at once with `exit_status` unless it is destroyed within `limit_s`. For the
/// very end, when everything that matters is written.
class Watchdog {
 public:
  Watchdog(double limit_s, int exit_status);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool has_ended_ = false;
  std::thread thread_;
};

}  // namespace prune_sweep
