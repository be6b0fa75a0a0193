/// \file
/// Faults on demand, so that tests can show that a run survives them. Nothing happens unless the
/// environment variable PRUNE_SWEEP_FAULTS asks for it:
///
///     delay=SECONDS            sleeps before every lease: a small run lasts long enough to disturb
///     pause=SECONDS            sleeps after every batch of a lease that has more than one
///     KIND=start               when the evaluator is set up
///     KIND=BENCHMARK:Q         in a lease that has question Q (index in the selected questions)
///     KIND=BENCHMARK:Q@N       the same, but only in the first N attempts at the unit
///
/// KIND is one of kill, segv, abort (signals to itself), stop (SIGSTOP), hang (an endless loop),
/// exit (exit status 0 in mid-work), garbage (junk into the socket), fail (an error of the task),
/// refuse (an error of the input). Several, separated by commas, are tried in order.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/protocol/message.hpp"

namespace prune_sweep {

class Faults {
 public:
  /// `channel_fd` is where garbage goes. Throws Error (kBadInput) for text that it does not
  /// understand.
  Faults(std::string_view text, int channel_fd);

  void on_setup() const;
  void on_lease(const Lease& lease) const;
  void on_batch() const;

 private:
  struct Fault {
    std::string kind;
    std::string benchmark;  ///< empty: at the start
    int32_t question = 0;
    int32_t max_attempt = 0;  ///< 0: always
  };

  void strike(const Fault& fault) const;

  double delay_s_ = 0;
  double pause_s_ = 0;
  std::vector<Fault> faults_;
  int channel_fd_;
};

}  // namespace prune_sweep
