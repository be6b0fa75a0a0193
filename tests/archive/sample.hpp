/// \file
/// A small sweep of known numbers: what tests write, and what data/archive-1.0.h5 was made of.
/// Every number is one of the formulas below, which analysis/tests/sample.py has too.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "prune_sweep/archive/archive.hpp"

namespace sample {

using namespace prune_sweep;

inline constexpr int32_t kMmlu = 0;
inline constexpr int32_t kGsm8k = 1;
inline constexpr int32_t kChoices = 4;

/// Where all values come from.
inline int32_t mix(int32_t variant, int32_t question, int32_t k) {
  return (73 * variant + 179 * question + 283 * k + 41 + variant * question * (k + 3)) % 1009;
}

inline std::string hex64(int32_t seed) {
  std::string text;
  for (int32_t i = 0; i < 64; ++i) text += "0123456789abcdef"[mix(seed, i, 5) % 16];
  return text;
}

/// The shape of Qwen3-0.6B: baseline, 28 drops, 10 levels of magnitude, one of the user's own.
inline std::vector<Variant> variants() {
  std::vector<Variant> all{{std::string(kBaseline), {}}};
  for (int32_t layer = 0; layer < 28; ++layer) {
    all.push_back({drop_name(layer), parse_edits(std::to_string(layer) + " drop", 28, {}, "")});
  }
  for (int32_t percent = 0; percent < 100; percent += 10) {
    const std::string amount = std::to_string(percent);
    all.push_back(
        {magnitude_name(Percent::parse(amount, "")),
         parse_edits("0-27 magnitude " + amount, 28, {}, "")});
  }
  all.push_back({"ends", parse_edits("0 drop, 27 magnitude 50", 28, {}, "")});
  return all;
}

inline BenchmarkPlan mmlu() {
  BenchmarkPlan plan{"mmlu", BenchmarkKind::kMultipleChoice, kChoices, 0, 5, "rules of MMLU", {}};
  for (int32_t q = 0; q < 12; ++q) {
    const bool first = q < 7;
    plan.questions.push_back(
        {first ? "abstract_algebra" : "anatomy",
         first ? q : q - 7,
         std::to_string(q % kChoices),
         hex64(q),
         200 + q,
         150});
  }
  return plan;
}

inline BenchmarkPlan gsm8k() {
  BenchmarkPlan plan{"gsm8k", BenchmarkKind::kGeneration, 0, 256, 5, "rules of GSM8K", {}};
  for (int32_t q = 0; q < 10; ++q) {
    plan.questions.push_back({"", q, std::to_string(7 * q + 3), hex64(100 + q), 600 + q, 0});
  }
  return plan;
}

inline ModelShape qwen3_shape() {
  // 28 layers; hidden 1024, 16 heads and 8 key-value heads of 128, MLP 3072, vocabulary 151936,
  // tied.
  return {28, 596'049'920, 6'291'456, 9'437'184, 2'304, 8'192, 155'582'464};
}

inline Plan plan() {
  PlanContext context{hex64(200), hex64(201), DType::kBfloat16, "cpu"};
  return make_plan(context, qwen3_shape(), variants(), {mmlu(), gsm8k()});
}

inline Record mmlu_record(int32_t v, int32_t q) {
  Record record;
  for (int32_t c = 0; c < kChoices; ++c) {
    record.loglik.push_back(-1.0F - static_cast<float>(mix(v, q, c)) / 64.0F);
  }
  const auto best = std::max_element(record.loglik.begin(), record.loglik.end());
  const auto choice = static_cast<int32_t>(best - record.loglik.begin());
  record.correct = choice == q % kChoices ? 1 : 0;
  record.greedy = mix(v, q, 9) % 2 == 0 ? static_cast<uint8_t>(1U << choice) : 0;
  return record;
}

inline Record gsm8k_record(int32_t v, int32_t q) {
  Record record;
  record.stop = static_cast<uint8_t>(mix(v, q, 13) % 3);
  record.generated_tokens = 5 + mix(v, q, 10) % 200;
  const int32_t gold = 7 * q + 3;
  const std::string answer = std::to_string(mix(v, q, 11) % 4 == 0 ? gold : gold + 1);
  const bool is_silent = mix(v, q, 14) % 7 == 0;
  const bool has_marks = !is_silent && mix(v, q, 12) % 5 != 0;
  if (!is_silent) {
    record.response = "Réponse 数 " + std::to_string(v) + "." + std::to_string(q) + "\n" +
                      (has_marks ? "#### " : "") + answer;
  }
  record.strict_answer = has_marks ? answer : "[invalid]";
  record.flexible_answer = is_silent ? "[invalid]" : answer;
  record.strict_correct = record.strict_answer == std::to_string(gold) ? 1 : 0;
  record.flexible_correct = record.flexible_answer == std::to_string(gold) ? 1 : 0;
  return record;
}

inline Record record(RecordIndex at) {
  return at.benchmark == kMmlu ? mmlu_record(at.variant, at.question)
                               : gsm8k_record(at.variant, at.question);
}

/// magnitude-90 has no MMLU, `ends` lacks the last four questions of GSM8K.
inline bool is_missing(RecordIndex at) {
  return (at.benchmark == kMmlu && at.variant == 38) ||
         (at.benchmark == kGsm8k && at.variant == 39 && at.question >= 6);
}

inline std::vector<RecordIndex> places(const Plan& plan) {
  std::vector<RecordIndex> all;
  for (int32_t b = 0; b < static_cast<int32_t>(plan.benchmarks.size()); ++b) {
    const auto questions =
        static_cast<int32_t>(plan.benchmarks[static_cast<size_t>(b)].questions.size());
    for (int32_t v = 0; v < static_cast<int32_t>(plan.variants.size()); ++v) {
      for (int32_t q = 0; q < questions; ++q) all.push_back({b, v, q});
    }
  }
  return all;
}

inline RecordTable partial_records(const Plan& plan) {
  RecordTable table(plan);
  for (const RecordIndex at : places(plan)) {
    if (!is_missing(at)) table.insert(at, record(at));
  }
  return table;
}

inline Provenance provenance() {
  return {
      "sample-run",
      "[model]\npath = Qwen3-0.6B  # é\n",
      "prune-sweep sample.ini",
      "0.1.0",
      "0123456789abcdef",
      "2.11.0",
      "cpu",
      {"alpha", "beta"},
      "2026-01-02T03:04:05Z"};
}

inline Audit audit() {
  return {
      {{0, 0, 1, "alpha", 0.5, 2.25, "committed", {0.25, 1.0, 0.5, 0.125, 0.0625}, 0.5},
       {1, 0, 2, "beta", 0.75, 1.5, "lost: signal 9"},
       {1, 1, 1, "alpha", 3.0, 2.5, "committed"}},
      {{"gsm8k", "", 7, "ends", "three evaluators died of it"}},
      3,
      0};
}

inline void write(const std::filesystem::path& path, const Plan& plan, const RecordTable& records) {
  write_archive(path, plan, records, provenance(), audit());
}

}  // namespace sample
