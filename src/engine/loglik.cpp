#include "engine/loglik.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>

namespace prune_sweep {

namespace {

/// The token sequences whose rows answer requests, each once, and the rows to read.
struct ReadPlan {
  /// One token to score, after the token at `position` of a sequence.
  struct Read {
    size_t sequence;
    int64_t position;
    int32_t id;
  };
  std::vector<std::vector<int32_t>> sequences;
  std::vector<std::vector<std::vector<Read>>> reads;  // [requests][continuations][tokens]
};

/// A continuation's tokens but the last are rows of their own; continuations of one token share
/// their context's.
ReadPlan make_plan(std::span<const LoglikRequest> requests) {
  ReadPlan plan;
  std::map<std::vector<int32_t>, size_t> known;
  for (const LoglikRequest& request : requests) {
    auto& reads = plan.reads.emplace_back();
    for (const std::vector<int32_t>& continuation : request.continuations) {
      std::vector<int32_t> ids = request.context;
      ids.insert(ids.end(), continuation.begin(), continuation.end() - 1);
      const auto [entry, is_new] = known.emplace(std::move(ids), plan.sequences.size());
      if (is_new) plan.sequences.push_back(entry->first);
      auto& tokens = reads.emplace_back();
      for (size_t i = 0; i < continuation.size(); ++i) {
        const auto position = static_cast<int64_t>(request.context.size() + i) - 1;
        tokens.push_back({entry->second, position, continuation[i]});
      }
    }
  }
  return plan;
}

/// The rows that are read, each once, in the order in which they come first.
class NeededRows {
 public:
  /// Place of `row` among the needed ones.
  int64_t place(int64_t row) {
    const auto [entry, is_new] = places_.emplace(row, std::ssize(rows_));
    if (is_new) rows_.push_back(row);
    return entry->second;
  }
  const std::vector<int64_t>& rows() const { return rows_; }

 private:
  std::map<int64_t, int64_t> places_;
  std::vector<int64_t> rows_;
};

}  // namespace

int64_t num_loglik_rows(std::span<const LoglikRequest> requests, Use prefix) {
  return pack_rows(make_plan(requests).sequences, prefix).num_rows();
}

ContinuationScore add_up(std::span<const LmHead::Score> tokens) {
  ContinuationScore sum{.loglik = 0, .greedy = true};
  for (const LmHead::Score& token : tokens) {
    sum.loglik += token.logprob;
    sum.greedy = sum.greedy && token.greedy;
  }
  if (!std::isfinite(sum.loglik)) sum.loglik = std::numeric_limits<float>::quiet_NaN();
  return sum;
}

std::vector<std::vector<std::vector<ContinuationScore>>> score_streams(
    Decoder& decoder,
    const EditedLayer& edited_layer,
    const StreamTree& tree,
    std::span<const LoglikRequest> requests,
    Use prefix,
    PhaseClock& clock) {
  const ReadPlan plan = make_plan(requests);
  const PackedRows packed = pack_rows(plan.sequences, prefix);
  NeededRows needed;
  std::vector<LmHead::Target> targets;  // of one stream
  for (const auto& request : plan.reads) {
    for (const auto& continuation : request) {
      for (const ReadPlan::Read& read : continuation) {
        targets.push_back({needed.place(packed.row_of(read.sequence, read.position)), read.id});
      }
    }
  }

  Backend& backend = decoder.backend();
  const auto kv = backend.make_kv(packed, needed.rows(), tree, KeepKv::kNo);
  const std::vector<at::Tensor> states =
      run_streams(decoder, edited_layer, tree, packed, needed.rows(), *kv, clock);
  std::vector<LmHead::Target> all_targets;
  for (int64_t stream = 0; stream < std::ssize(states); ++stream) {
    const int64_t first = stream * std::ssize(needed.rows());
    for (const LmHead::Target& target : targets)
      all_targets.push_back({first + target.row, target.id});
  }
  const InPhase in_head(clock, Phase::kHead);
  const std::vector<LmHead::Score> tokens = backend.head().score(at::cat(states), all_targets);

  std::vector<std::vector<std::vector<ContinuationScore>>> scores(states.size());
  size_t next = 0;
  for (size_t stream = 0; stream < scores.size(); ++stream) {
    for (size_t request = 0; request < requests.size(); ++request) {
      auto& continuations = scores[stream].emplace_back();
      for (const auto& reads : plan.reads[request]) {
        continuations.push_back(add_up(std::span(tokens).subspan(next, reads.size())));
        next += reads.size();
      }
    }
  }
  return scores;
}

}  // namespace prune_sweep
