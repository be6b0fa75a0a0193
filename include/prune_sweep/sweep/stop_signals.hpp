/// \file
/// The signals that ask a rank to stop, read as events.
#pragma once

#include <signal.h>

#include <cstdint>

namespace prune_sweep {

enum class StopRequest : uint8_t {
  kNone,
  kDrain,  ///< SIGUSR2: finish what is leased, there is time
  kHurry,  ///< SIGINT, SIGTERM, SIGHUP: the same, but a SIGKILL may follow within a second or two
  kLeave,  ///< a second signal: leave now; what is committed stays
};

/// Blocks the signals and collects them while it lives; SIGUSR1, which launchers pass on, is
/// swallowed. Must be made before any other thread is
/// (MPI starts some): threads inherit the mask, and a thread without it would take the signal and
/// end the process.
class StopSignals {
 public:
  /// Throws Error (kInternal) when the system refuses.
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// Readable when a signal waits.
  int fd() const { return fd_; }
  /// The strongest request since the last call.
  StopRequest take();

 private:
  int fd_ = -1;
  bool was_asked_ = false;
  sigset_t before_;
};

}  // namespace prune_sweep
