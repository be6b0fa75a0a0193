/// \file
/// What the master wants done, in an order that keeps its promises: nothing is said before what it
/// rests on is on the disk.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "prune_sweep/sweep/journal.hpp"
#include "prune_sweep/sweep/master.hpp"

namespace prune_sweep {

/// Holds entries and messages until the disk has taken the entries: all that came together are
/// committed together. While the disk refuses, nothing is lost and nothing is sent, so that no work
/// is given out either.
class CommitQueue {
 public:
  /// The journal's append() and commit(), which throw Error (kDisk); and the way of a message.
  struct Outlets {
    std::function<void(const JournalEntry&)> append;
    std::function<void()> commit;
    std::function<void(const Send&)> send;
  };
  explicit CommitQueue(Outlets outlets) : outlets_(std::move(outlets)) {}

  void add(Commit commit) { entries_.push_back(std::move(commit.entry)); }
  void add(Send send) { messages_.push_back(std::move(send)); }
  bool is_empty() const { return entries_.empty() && messages_.empty(); }

  /// Writes, commits and sends all there is; or returns the disk's error and keeps it for the next
  /// call.
  std::optional<std::string> flush();

 private:
  Outlets outlets_;
  std::vector<JournalEntry> entries_;
  size_t num_appended_ = 0;
  std::vector<Send> messages_;
};

}  // namespace prune_sweep
