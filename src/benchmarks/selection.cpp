#include "benchmarks/selection.hpp"

#include <algorithm>
#include <numeric>

#include "benchmarks/fewshot.hpp"
#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

using Rows = std::vector<std::vector<int32_t>>;

size_t num_rows(const std::vector<SubjectSize>& subjects) {
  return std::transform_reduce(
      subjects.begin(), subjects.end(), size_t{0}, std::plus<>(), [](const SubjectSize& subject) {
        return subject.num_rows;
      });
}

Rows first_rows(const Limit& limit, const std::vector<SubjectSize>& subjects) {
  Rows rows;
  for (const SubjectSize& subject : subjects) {
    rows.emplace_back(limit.of(subject.num_rows));
    std::iota(rows.back().begin(), rows.back().end(), 0);
  }
  return rows;
}

/// How many of each subject: the largest-remainder rule, in whole numbers.
std::vector<size_t> shares(size_t count, const std::vector<SubjectSize>& subjects) {
  const size_t total = num_rows(subjects);
  std::vector<size_t> result;
  for (const SubjectSize& subject : subjects) result.push_back(count * subject.num_rows / total);
  std::vector<size_t> order(subjects.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return count * subjects[a].num_rows % total > count * subjects[b].num_rows % total;
  });
  const size_t left = count - std::reduce(result.begin(), result.end());
  for (size_t i = 0; i < left; ++i) ++result[order[i]];
  return result;
}

Rows drawn_rows(size_t count, uint32_t seed, const std::vector<SubjectSize>& subjects) {
  const std::vector<size_t> counts = shares(count, subjects);
  PythonRandom random(seed);
  Rows rows;
  for (size_t i = 0; i < subjects.size(); ++i) {
    const auto drawn = random.sample(
        static_cast<uint32_t>(subjects[i].num_rows), static_cast<uint32_t>(counts[i]));
    rows.emplace_back(drawn.begin(), drawn.end());
    std::sort(rows.back().begin(), rows.back().end());
  }
  return rows;
}

Rows named_rows(
    const std::vector<SubjectIds>& ids,
    const std::vector<SubjectSize>& subjects,
    std::string_view where) {
  Rows rows(subjects.size());
  for (const SubjectIds& named : ids) {
    const auto subject = std::find_if(subjects.begin(), subjects.end(), [&](const auto& candidate) {
      return candidate.subject == named.subject;
    });
    if (subject == subjects.end()) {
      bad_input(
          where,
          named.subject.empty() ? "the rows need a subject, as in anatomy:0,3-5"
                                : "there is no subject '" + printable(named.subject) + "'");
    }
    if (static_cast<size_t>(named.doc_ids.back()) >= subject->num_rows) {
      bad_input(
          where,
          "row " + std::to_string(named.doc_ids.back()) +
              " is not there: " + (named.subject.empty() ? "" : named.subject + " has ") +
              std::to_string(subject->num_rows) + " rows");
    }
    rows[static_cast<size_t>(subject - subjects.begin())] = named.doc_ids;
  }
  return rows;
}

}  // namespace

Rows select_rows(
    const Selection& selection, const std::vector<SubjectSize>& subjects, std::string_view where) {
  if (!selection.ids.empty()) return named_rows(selection.ids, subjects, where);
  if (!selection.sample) return first_rows(selection.limit, subjects);
  const auto count = static_cast<size_t>(*selection.sample);
  if (count > num_rows(subjects)) {
    bad_input(
        where,
        "a sample of " + std::to_string(count) + " from " + std::to_string(num_rows(subjects)) +
            " questions");
  }
  return drawn_rows(count, selection.seed, subjects);
}

}  // namespace prune_sweep
