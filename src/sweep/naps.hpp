/// \file
/// How a rank waits: for its evaluator, for a signal, and, now and then, for MPI.
#pragma once

namespace prune_sweep {

/// MPI has no descriptor to wait on, so the nap bounds how late its messages are seen. Naps grow
/// while nothing happens: latency against the share of a core that an idle rank takes.
class Naps {
 public:
  /// Returns when a descriptor has something (-1: none there) or the nap is over; at once when
  /// `busy`. Throws Error (kInternal) when the system refuses.
  void nap(int evaluator_fd, int signal_fd, bool busy);

 private:
  int nap_ms_ = 1;
};

}  // namespace prune_sweep
