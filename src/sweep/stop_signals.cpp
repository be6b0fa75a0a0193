#include "prune_sweep/sweep/stop_signals.hpp"

#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

[[noreturn]] void fail(const char* call) {
  throw Error(ExitStatus::kInternal, call, std::strerror(errno));
}

}  // namespace

StopSignals::StopSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&set, signal);
  if (::sigprocmask(SIG_BLOCK, &set, &before_) != 0) fail("sigprocmask");
  fd_ = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd_ < 0) fail("signalfd");
}

StopSignals::~StopSignals() {
  ::close(fd_);
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

StopRequest StopSignals::take() {
  StopRequest request = StopRequest::kNone;
  signalfd_siginfo info;
  while (::read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGUSR1) continue;
    const bool is_second = std::exchange(was_asked_, true);
    const StopRequest asked = is_second                   ? StopRequest::kLeave
                              : info.ssi_signo == SIGUSR2 ? StopRequest::kDrain
                                                          : StopRequest::kHurry;
    request = std::max(request, asked);
  }
  return request;
}

}  // namespace prune_sweep
