/// \file
/// Messages between ranks. Everything that calls MPI is here.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "prune_sweep/protocol/message.hpp"

namespace prune_sweep {

/// Starts MPI and ends it. One thread calls MPI; errors come back as Error, not as an abort. The
/// death of another rank does not: a message to it is taken and never arrives.
class MpiLink {
 public:
  MpiLink(int* argc, char*** argv);
  ~MpiLink();
  MpiLink(const MpiLink&) = delete;
  MpiLink& operator=(const MpiLink&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Number of ranks on this rank's host.
  int host_size() const { return host_size_; }
  /// This rank's number among those.
  int host_rank() const { return host_rank_; }

  /// Hands a message over; it is on its way when this returns, its buffer is kept until it is sent.
  void send(int rank, const Message& message);
  /// The next message from any rank, with its sender, if one has arrived.
  std::optional<std::pair<int, Message>> poll();

  /// Ends MPI together with the other ranks, the last thing to do; the destructor does it
  /// otherwise. A rank that never comes would be waited for without end: after ten seconds the
  /// process ends with `exit_status`.
  void finalize(int exit_status);
  /// Ends the process without waiting for anybody: where a rank was lost, MPI_Finalize may hang.
  [[noreturn]] void leave_alone(int exit_status);

 private:
  struct PendingSend;

  int rank_ = 0;
  int size_ = 1;
  int host_size_ = 1;
  int host_rank_ = 0;
  bool finalized_ = false;
  std::list<PendingSend> pending_;
};

}  // namespace prune_sweep
