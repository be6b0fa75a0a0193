#include "prune_sweep/sweep/suspects.hpp"

#include <algorithm>

namespace prune_sweep {

namespace {

constexpr int32_t kMaxCrashes = 3;
constexpr int32_t kTriesHere = 2;

bool is_for(const Piece& piece, int32_t worker, const std::set<int32_t>& serving) {
  if (piece.last_worker < 0) return true;
  const bool is_here = piece.last_worker == worker;
  if (piece.num_crashes_here < kTriesHere) return is_here || serving.count(piece.last_worker) == 0;
  return !is_here || serving.size() == 1;
}

}  // namespace

void count_crash(Piece& piece, int32_t worker) {
  ++piece.num_crashes;
  piece.num_crashes_here = piece.last_worker == worker ? piece.num_crashes_here + 1 : 1;
  piece.last_worker = worker;
}

Verdict judge(const Piece& piece, FailureClass failure) {
  const bool is_single = piece.questions.size() <= 1;
  const bool is_chance = failure == FailureClass::kInfrastructure &&
                         piece.num_crashes < (piece.is_cut && !is_single ? 1 : kMaxCrashes);
  if (is_chance) return Verdict::kRetry;
  return is_single ? Verdict::kQuarantine : Verdict::kHalve;
}

std::pair<Piece, Piece> halve(const Piece& piece) {
  const auto middle =
      piece.questions.begin() + static_cast<std::ptrdiff_t>(piece.questions.size() / 2);
  return {
      Piece{.unit = piece.unit, .questions = {piece.questions.begin(), middle}, .is_cut = true},
      Piece{.unit = piece.unit, .questions = {middle, piece.questions.end()}, .is_cut = true}};
}

std::optional<Piece> Suspects::take(
    int32_t worker, const std::set<int32_t>& serving, const Fits& fits) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), [&](const Piece& piece) {
    return fits(piece) && is_for(piece, worker, serving);
  });
  if (found == waiting_.end()) return std::nullopt;
  Piece piece = std::move(*found);
  waiting_.erase(found);
  return piece;
}

}  // namespace prune_sweep
