#include "benchmarks/selection.hpp"

#include <numeric>

#include "catch.hpp"
#include "core/message_of.hpp"

using namespace prune_sweep;

namespace {

const std::vector<SubjectSize> kSubjects{{"anatomy", 135}, {"law", 1534}, {"virology", 166}};

Selection sample_of(int32_t count, uint32_t seed) {
  Selection selection;
  selection.sample = count;
  selection.seed = seed;
  return selection;
}

Selection ids(const std::string& text) {
  Selection selection;
  selection.ids = parse_subject_ids(text, "job");
  return selection;
}

}  // namespace

TEST_CASE("a limit takes the first rows of each subject") {
  Selection selection;
  selection.limit.value = 0.1;
  const auto rows = select_rows(selection, kSubjects, "x");
  CHECK(rows[0].size() == 14);
  CHECK(rows[1].size() == 154);
  CHECK(rows[2].size() == 17);
  CHECK(rows[2].front() == 0);
  CHECK(rows[2].back() == 16);
  selection.limit.value = 3;
  CHECK(select_rows(selection, kSubjects, "x")[1] == std::vector<int32_t>{0, 1, 2});
}

TEST_CASE("a sample has each subject in proportion, and as many rows as were asked for") {
  for (const int32_t count : {1, 2, 3, 10, 100, 734, 1834, 1835}) {
    const auto rows = select_rows(sample_of(count, 7), kSubjects, "x");
    size_t total = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      CAPTURE(count, i);
      total += rows[i].size();
      const double share = count * static_cast<double>(kSubjects[i].num_rows) / 1835;
      CHECK(std::abs(static_cast<double>(rows[i].size()) - share) < 1);
      CHECK(std::is_sorted(rows[i].begin(), rows[i].end()));
      CHECK(std::adjacent_find(rows[i].begin(), rows[i].end()) == rows[i].end());
      if (!rows[i].empty()) CHECK(static_cast<size_t>(rows[i].back()) < kSubjects[i].num_rows);
    }
    CHECK(total == static_cast<size_t>(count));
  }
}

TEST_CASE("a sample follows from its seed") {
  CHECK(
      select_rows(sample_of(50, 1), kSubjects, "x") ==
      select_rows(sample_of(50, 1), kSubjects, "x"));
  CHECK(
      select_rows(sample_of(50, 1), kSubjects, "x") !=
      select_rows(sample_of(50, 2), kSubjects, "x"));
}

TEST_CASE("rows can be named") {
  const auto rows = select_rows(ids("virology: 7; anatomy:0,3-5"), kSubjects, "x");
  CHECK(rows == std::vector<std::vector<int32_t>>{{0, 3, 4, 5}, {}, {7}});
  CHECK(select_rows(ids("2,0-1"), {{"", 5}}, "x").front() == std::vector<int32_t>{0, 1, 2});
  CHECK(ids("virology: 7; anatomy:0,3-5").text() == "ids virology:7;anatomy:0,3-5");
}

TEST_CASE("rows that are not there are refused by name") {
  const auto message = [](const Selection& selection) {
    return message_of([&] { select_rows(selection, kSubjects, "benchmarks.mmlu"); });
  };
  CHECK_THAT(message(ids("physics:1")), ContainsSubstring("no subject 'physics'"));
  CHECK_THAT(message(ids("anatomy:135")), ContainsSubstring("anatomy has 135 rows"));
  CHECK_THAT(message(ids("3")), ContainsSubstring("need a subject"));
  CHECK_THAT(message(sample_of(1836, 1)), ContainsSubstring("1836 from 1835"));
  for (const char* text : {"anatomy:", "a:1;a:2", ";", "a:1,1", "a:x", "a:-1", "a:5-3"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_subject_ids(text, "job"), Error);
  }
}
