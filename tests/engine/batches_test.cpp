#include "engine/batches.hpp"

#include <algorithm>
#include <random>

#include "catch.hpp"

using namespace prune_sweep;

namespace {

/// Costs of a batch in which every variant and every request has its own, and a batch besides.
struct Costs {
  double of_batch, of_variant, of_request, of_answer;

  double operator()(Part variants, size_t num_requests) const {
    const auto v = static_cast<double>(variants.count);
    const auto r = static_cast<double>(num_requests);
    return of_batch + of_variant * v + of_request * r + of_answer * v * r;
  }
};

}  // namespace

TEST_CASE("parts of a list follow one another and differ by one at most") {
  for (size_t size = 1; size <= 20; ++size) {
    for (size_t num_parts = 1; num_parts <= size; ++num_parts) {
      size_t next = 0;
      for (size_t i = 0; i < num_parts; ++i) {
        const Part part = part_of(size, num_parts, i);
        CAPTURE(size, num_parts, i);
        CHECK(part.first == next);
        CHECK(part.count <= part_of(size, num_parts, 0).count);
        CHECK(part.count + 1 >= part_of(size, num_parts, 0).count);
        CHECK(part.count > 0);
        next += part.count;
      }
      CHECK(next == size);
    }
  }
}

TEST_CASE("the fewest parts are those of which one less would not fit") {
  for (size_t size = 1; size <= 20; ++size) {
    for (size_t room = 1; room <= size; ++room) {
      const auto parts = fewest_parts(size, [room](size_t length) { return length <= room; });
      REQUIRE(parts.has_value());
      CHECK(part_of(size, *parts, 0).count <= room);
      CHECK((*parts == 1 || part_of(size, *parts - 1, 0).count > room));
    }
    CHECK_FALSE(fewest_parts(size, [](size_t) { return false; }).has_value());
  }
}

TEST_CASE("the cut chosen is the cheapest of all that fit") {
  std::mt19937 random(1);
  const auto any = [&](int most) { return std::uniform_int_distribution<int>(1, most)(random); };
  for (int repeat = 0; repeat < 500; ++repeat) {
    const auto num_variants = static_cast<size_t>(any(9));
    const auto num_requests = static_cast<size_t>(any(20));
    const auto of = [&] { return static_cast<double>(any(100)); };
    const Costs cost{of(), of(), of(), of()};
    const Costs bytes{0, of(), of(), of()};
    const double room = of() * 20;
    const auto fits = [&](Part variants, size_t count) { return bytes(variants, count) <= room; };

    Cut best{num_variants, num_requests};
    double least = -1;
    for (size_t v = 1; v <= num_variants; ++v) {
      for (size_t r = 1; r <= num_requests; ++r) {
        double total = 0;
        bool do_fit = true;
        for (size_t i = 0; i < v * r; ++i) {
          const Part part = part_of(num_variants, v, i % v);
          const size_t count = part_of(num_requests, r, i / v).count;
          do_fit = do_fit && fits(part, count);
          total += cost(part, count);
        }
        if (do_fit && (least < 0 || total < least)) {
          least = total;
          best = {v, r};
        }
      }
    }
    CAPTURE(num_variants, num_requests, room);
    CHECK(choose_cut(num_variants, num_requests, fits, cost) == best);
  }
}

TEST_CASE("what does not fit at all is computed one by one") {
  const auto fits = [](Part, size_t) { return false; };
  CHECK(choose_cut(3, 5, fits, Costs{1, 1, 1, 1}) == Cut{3, 5});
}

TEST_CASE("work in parts gives every variant the answers to the first requests, whoever stops") {
  const std::vector<size_t> variants{10, 11, 12, 13, 14};
  const std::vector<int> requests{0, 1, 2, 3, 4, 5, 6};
  const size_t num_variant_parts = GENERATE(1U, 2U, 5U);
  const size_t num_request_parts = GENERATE(1U, 3U, 7U);
  const int stop_after = GENERATE(0, 1, 2, 100);          // of requests
  const int least_answered = GENERATE(-1, 0, 1, 2, 100);  // by one batch in the middle
  int num_asked = 0;
  int num_batches = 0;
  const auto answers = work_in_parts(
      std::span(variants),
      std::span(requests),
      Cut{num_variant_parts, num_request_parts},
      [&] { return num_asked++ >= stop_after; },
      [&](std::span<const size_t> some, std::span<const int> asked) {
        size_t num_answered = asked.size();
        if (++num_batches == 2 && least_answered >= 0) {
          num_answered = std::min(num_answered, static_cast<size_t>(least_answered));
        }
        std::vector<std::vector<std::pair<size_t, int>>> result;
        for (const size_t variant : some) {
          result.emplace_back();
          for (const int request : asked.first(num_answered)) {
            result.back().emplace_back(variant, request);
          }
        }
        return result;
      });
  REQUIRE(answers.size() == variants.size());
  for (size_t v = 0; v < variants.size(); ++v) {
    REQUIRE(answers[v].size() == answers[0].size());
    for (size_t r = 0; r < answers[v].size(); ++r) {
      CHECK(answers[v][r] == std::pair{variants[v], static_cast<int>(r)});
    }
  }
  if (stop_after == 100 && (least_answered < 0 || least_answered == 100)) {
    CHECK(answers[0].size() == requests.size());
  }
}
