// What the master gives out: which piece to whom, and what of it fits before the deadline.
#include <algorithm>
#include <utility>

#include "prune_sweep/sweep/master.hpp"

namespace prune_sweep {

namespace {

/// A lease is slow when it takes twice its estimate and some seconds more.
constexpr double kStragglerFactor = 2;
constexpr double kStragglerSlack_s = 5;
/// Before a deadline estimates are stretched by this: they are means.
constexpr double kDeadlineCaution = 1.5;
/// After so many crashes in a row something new is tried before what has failed: it tells whether
/// evaluators live at all.
constexpr int32_t kDoubtfulCrashesInARow = 5;

}  // namespace

// --- what there is to do ----------------------------------------------------------------------

bool Master::is_settled(RecordIndex at) const {
  return records_.find(at) != nullptr || quarantined_.count(at) > 0;
}

std::vector<int32_t> Master::missing_questions(const Unit& unit) const {
  std::vector<int32_t> missing;
  for (int32_t q = unit.first_question; q < unit.first_question + unit.num_questions; ++q) {
    const bool all = std::all_of(unit.variants.begin(), unit.variants.end(), [&](int32_t variant) {
      return is_settled({unit.benchmark, variant, q});
    });
    if (!all) missing.push_back(q);
  }
  return missing;
}

std::vector<int32_t> Master::open_units() const {
  std::vector<int32_t> open;
  for (size_t unit = 0; unit < plan_->units.size(); ++unit) {
    if (!missing_questions(plan_->units[unit]).empty()) open.push_back(static_cast<int32_t>(unit));
  }
  return open;
}

std::vector<std::string> Master::keys_of(const Unit& unit) const {
  std::vector<std::string> keys;
  for (const int32_t variant : unit.variants) {
    keys.push_back(
        variant_keys_[static_cast<size_t>(variant)][static_cast<size_t>(unit.benchmark)]);
  }
  return keys;
}

double Master::flops_of(const Piece& piece) const {
  const Unit& unit = unit_of(piece.unit);
  return unit.flops * static_cast<double>(piece.questions.size()) / unit.num_questions;
}

std::optional<double> Master::estimate_s(const Piece& piece) const {
  return rates_.estimate_s(unit_of(piece.unit).benchmark, flops_of(piece));
}

bool Master::fits(const Piece& piece, double now_s) const {
  if (settings_.deadline_s <= 0) return true;
  return now_s + kDeadlineCaution * estimate_s(piece).value_or(0) < settings_.deadline_s;
}

// --- leases -------------------------------------------------------------------------------------

Lease Master::make_lease(const Piece& piece) {
  const Unit& unit = unit_of(piece.unit);
  Lease made{
      piece.unit,
      ++num_attempts_[static_cast<size_t>(piece.unit)],
      plan_->benchmarks[static_cast<size_t>(unit.benchmark)].name,
      {},
      {},
      piece.questions};
  for (const int32_t index : unit.variants) {
    const Variant& variant = plan_->variants[static_cast<size_t>(index)];
    made.variant_names.push_back(variant.name);
    made.variant_edits.push_back(edits_text(variant.edits));
  }
  return made;
}

void Master::lease(int32_t worker, int64_t piece, double now_s, Actions& actions) {
  Running& running = running_.at(piece);
  ++running.num_holders;
  Worker& entry = workers_.at(worker);
  entry.holding = Holding{piece, make_lease(running.piece), now_s};
  actions.push_back(Send{worker, entry.holding->lease});
}

std::optional<int64_t> Master::next_piece(int32_t worker, double now_s) {
  std::optional<Piece> piece;
  const bool is_doubtful = num_crashes_in_a_row_ >= kDoubtfulCrashesInARow && schedule_.has_open();
  if (!suspects_.is_empty() && !is_doubtful) {
    piece = suspects_.take(
        worker, serving(), [&](const Piece& candidate) { return fits(candidate, now_s); });
  }
  if (!piece) {
    Schedule::Fits unit_fits;
    if (settings_.deadline_s > 0) {
      unit_fits = [&](int32_t unit) {
        return fits({.unit = unit, .questions = missing_questions(unit_of(unit))}, now_s);
      };
    }
    const auto unit = schedule_.next(worker, unit_fits);
    if (!unit) return std::nullopt;
    piece = Piece{.unit = *unit, .questions = missing_questions(unit_of(*unit))};
    num_pieces_[static_cast<size_t>(*unit)] = 1;
  }
  running_.emplace(next_piece_, Running{std::move(*piece)});
  return next_piece_++;
}

std::optional<int64_t> Master::straggler(double now_s) const {
  std::optional<int64_t> oldest;
  double oldest_s = now_s;
  for (const auto& [rank, worker] : workers_) {
    if (!worker.holding || worker.holding->leased_s >= oldest_s) continue;
    const auto running = running_.find(worker.holding->piece);
    if (running == running_.end() || running->second.num_holders > 1) continue;
    const Piece& piece = running->second.piece;
    const auto expected_s = estimate_s(piece);
    // A second evaluator is not risked on what has killed one.
    if (!expected_s || piece.is_cut || piece.num_crashes > 0 || !fits(piece, now_s)) continue;
    const double age_s = now_s - worker.holding->leased_s;
    if (age_s <= kStragglerFactor * *expected_s + kStragglerSlack_s) continue;
    oldest = worker.holding->piece;
    oldest_s = worker.holding->leased_s;
  }
  return oldest;
}

void Master::revoke(int32_t worker, Finished finished, Actions& actions) {
  auto& holding = workers_.at(worker).holding;
  if (!holding || holding->revoked) return;
  holding->revoked = finished;
  actions.push_back(Send{worker, Revoke{holding->lease.unit, holding->lease.attempt, finished}});
}

/// Of copies of a piece whose other copy came through.
void Master::revoke_settled(Actions& actions) {
  if (!has_waiting()) return;
  for (const auto& [rank, worker] : workers_) {
    const bool is_settled = worker.holding && running_.count(worker.holding->piece) == 0;
    if (is_settled) revoke(rank, Finished::kDiscard, actions);
  }
}

void Master::begin_drain(Actions& actions) {
  if (std::exchange(draining_, true)) return;
  for (const auto& [rank, worker] : workers_) revoke(rank, Finished::kKeep, actions);
}

void Master::lease_to_idle(Actions& actions, double now_s) {
  if (draining_ || !fatal_error_.empty()) return;
  for (auto& [rank, worker] : workers_) {
    if (!has_waiting()) return;
    if (worker.state != Worker::State::kServing || worker.holding) continue;
    if (const auto piece = next_piece(rank, now_s)) lease(rank, *piece, now_s, actions);
  }
  revoke_settled(actions);
}

void Master::copy_stragglers(Actions& actions, double now_s) {
  if (draining_ || !fatal_error_.empty() || has_waiting()) return;
  for (auto& [rank, worker] : workers_) {
    if (worker.state != Worker::State::kServing || worker.holding) continue;
    const auto piece = straggler(now_s);
    if (!piece) return;
    lease(rank, *piece, now_s, actions);
  }
}

void Master::keep_deadline(double now_s, Actions& actions) {
  if (settings_.deadline_s <= 0 || draining_) return;
  // Work waits, and of the workers that serve none was given any: it does not fit any more.
  const std::set<int32_t> servers = serving();
  const bool nothing_fits = !servers.empty() && has_waiting() && running_.empty() &&
                            std::none_of(servers.begin(), servers.end(), [this](int32_t worker) {
                              return workers_.at(worker).holding.has_value();
                            });
  if (!nothing_fits && now_s < settings_.deadline_s) return;
  past_deadline_ = true;
  begin_drain(actions);
}

}  // namespace prune_sweep
