#include "sweep/watchdog.hpp"

#include <unistd.h>

#include <chrono>

namespace prune_sweep {

Watchdog::Watchdog(double limit_s, int exit_status)
    : thread_([this, limit_s, exit_status] {
        std::unique_lock lock(mutex_);
        const auto limit = std::chrono::duration<double>(limit_s);
        if (!ended_.wait_for(lock, limit, [this] { return has_ended_; })) ::_exit(exit_status);
      }) {}

Watchdog::~Watchdog() {
  {
    const std::scoped_lock lock(mutex_);
    has_ended_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

}  // namespace prune_sweep
