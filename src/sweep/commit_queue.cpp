#include "prune_sweep/sweep/commit_queue.hpp"

#include <utility>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

std::optional<std::string> CommitQueue::flush() {
  try {
    while (num_appended_ < entries_.size()) {
      outlets_.append(entries_[num_appended_]);
      ++num_appended_;
    }
    if (!entries_.empty()) {
      // After a failed sync the system may have dropped what it could not write: all of it is
      // written again. A copy more in the journal does no harm.
      const size_t num_entries = std::exchange(num_appended_, 0);
      outlets_.commit();
      num_appended_ = num_entries;
    }
  } catch (const Error& error) {
    if (error.status() != ExitStatus::kDisk) throw;
    return error.what();
  }
  entries_.clear();
  num_appended_ = 0;
  for (const Send& send : std::exchange(messages_, {})) outlets_.send(send);
  return std::nullopt;
}

}  // namespace prune_sweep
