#include "sweep/naps.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

constexpr int kLongestNap_ms = 10;

}  // namespace

void Naps::nap(int evaluator_fd, int signal_fd, bool busy) {
  nap_ms_ = busy ? 1 : std::min(nap_ms_ * 2, kLongestNap_ms);
  std::array<pollfd, 2> entries{pollfd{evaluator_fd, POLLIN, 0}, pollfd{signal_fd, POLLIN, 0}};
  if (::poll(entries.data(), entries.size(), busy ? 0 : nap_ms_) < 0 && errno != EINTR) {
    throw Error(ExitStatus::kInternal, "poll", std::strerror(errno));
  }
  // A closed socket is readable for ever: while its process is being reaped the nap must not spin.
  if ((entries[0].revents & (POLLHUP | POLLERR)) != 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace prune_sweep
