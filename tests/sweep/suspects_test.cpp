#include "prune_sweep/sweep/suspects.hpp"

#include "catch.hpp"
#include "prune_sweep/sweep/fault_log.hpp"
#include "prune_sweep/sweep/rates.hpp"

using namespace prune_sweep;

namespace {

const Suspects::Fits kAllFit = [](const Piece&) { return true; };

Piece piece_of(int32_t num_questions) {
  Piece piece{.unit = 3};
  for (int32_t q = 0; q < num_questions; ++q) piece.questions.push_back(10 + q);
  return piece;
}

}  // namespace

TEST_CASE("halving any piece ends at its questions, each once") {
  for (int32_t count = 1; count <= 40; ++count) {
    std::vector<Piece> open{piece_of(count)};
    std::vector<int32_t> single;
    while (!open.empty()) {
      const Piece piece = open.back();
      open.pop_back();
      CHECK(piece.unit == 3);
      if (piece.questions.size() == 1) {
        single.push_back(piece.questions[0]);
        continue;
      }
      auto [first, second] = halve(piece);
      CHECK(first.is_cut);
      CHECK(second.is_cut);
      open.push_back(second);
      open.push_back(first);
    }
    CHECK(single == piece_of(count).questions);
  }
}

TEST_CASE("three crashes condemn a unit or a question, one a half; an error of the task at once") {
  const auto crash = FailureClass::kInfrastructure;
  for (const int32_t num_questions : {1, 8}) {
    for (const bool is_cut : {false, true}) {
      CAPTURE(num_questions, is_cut);
      const Verdict end = num_questions == 1 ? Verdict::kQuarantine : Verdict::kHalve;
      Piece piece = piece_of(num_questions);
      piece.is_cut = is_cut;
      CHECK(judge(piece, FailureClass::kTask) == end);
      CHECK(judge(piece, FailureClass::kInput) == end);
      const int max_crashes = is_cut && num_questions > 1 ? 1 : 3;
      for (int crashes = 1; crashes <= max_crashes; ++crashes) {
        count_crash(piece, 5);
        CHECK(judge(piece, crash) == (crashes == max_crashes ? end : Verdict::kRetry));
      }
    }
  }
}

TEST_CASE("a piece is tried again here once, then elsewhere if there is another worker") {
  Suspects suspects;
  Piece piece = piece_of(4);
  count_crash(piece, 1);
  suspects.add(piece);
  CHECK_FALSE(suspects.take(2, {1, 2}, kAllFit));
  piece = suspects.take(1, {1, 2}, kAllFit).value();
  CHECK(suspects.is_empty());
  count_crash(piece, 1);
  suspects.add(piece);
  CHECK_FALSE(suspects.take(1, {1, 2}, kAllFit));
  CHECK(suspects.take(2, {1, 2}, kAllFit));
  suspects.add(piece);
  CHECK(suspects.take(1, {1}, kAllFit));
  // The worker of the first crash is gone: anybody may have it.
  Piece orphan = piece_of(4);
  count_crash(orphan, 9);
  suspects.add(orphan);
  CHECK(suspects.take(2, {1, 2}, kAllFit));
}

TEST_CASE("only what fits is taken") {
  Suspects suspects;
  suspects.add(piece_of(4));
  suspects.add(piece_of(2));
  const auto taken =
      suspects.take(0, {0}, [](const Piece& piece) { return piece.questions.size() < 3; });
  CHECK(taken.value().questions.size() == 2);
}

TEST_CASE("a device is suspect after faults over three units within ten minutes") {
  FaultLog log;
  log.add(1, 100);
  log.add(1, 110);
  log.add(2, 120);
  CHECK_FALSE(log.is_device_suspect());
  log.add(3, 130);
  CHECK(log.is_device_suspect());
  log.forgive(1);
  CHECK_FALSE(log.is_device_suspect());
  log.add(4, 731);
  CHECK_FALSE(log.is_device_suspect());
}

TEST_CASE("rates are means of each benchmark by itself") {
  Rates rates(2);
  CHECK_FALSE(rates.estimate_s(0, 100));
  rates.add(0, 100, 5);
  rates.add(0, 300, 15);
  CHECK(rates.estimate_s(0, 40).value() == Approx(2));
  CHECK_FALSE(rates.estimate_s(1, 100));
}
