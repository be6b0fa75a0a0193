/// \file
/// What is done with work that failed: tried again here, then elsewhere, then cut in halves until
/// the question that kills stands alone. Plain policy: no workers, no clock.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "prune_sweep/protocol/message.hpp"

namespace prune_sweep {

/// What one lease asks for: a unit, or a part of one that failed, and what is known of its
/// failures.
struct Piece {
  int32_t unit = 0;
  std::vector<int32_t> questions;
  bool is_cut = false;           ///< a part of a unit that is known to fail
  int32_t num_crashes = 0;       ///< evaluators that were lost over it
  int32_t last_worker = -1;      ///< the worker of the last of them; -1: none yet
  int32_t num_crashes_here = 0;  ///< those in a row at `last_worker`
};

/// Counts an evaluator of `worker` that was lost over the piece.
void count_crash(Piece& piece, int32_t worker);

enum class Verdict : uint8_t { kRetry, kHalve, kQuarantine };
/// What becomes of a piece after its last failure. An evaluator may die by chance, so a whole unit
/// and a single question get three tries; in between halving again costs nothing. An error of the
/// task would come again: no second try.
Verdict judge(const Piece& piece, FailureClass failure);

/// The two halves of a piece of several questions, each with a clean record.
std::pair<Piece, Piece> halve(const Piece& piece);

/// Pieces that wait for another try.
class Suspects {
 public:
  using Fits = std::function<bool(const Piece& piece)>;

  void add(Piece piece) { waiting_.push_back(std::move(piece)); }
  bool is_empty() const { return waiting_.empty(); }

  /// The first piece for `worker`: after one crash the worker where it happened, after two another
  /// one, as long as there is such a worker among those `serving`.
  std::optional<Piece> take(int32_t worker, const std::set<int32_t>& serving, const Fits& fits);

 private:
  std::deque<Piece> waiting_;
};

}  // namespace prune_sweep
