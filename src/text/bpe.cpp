#include "text/bpe.hpp"

#include <algorithm>

namespace prune_sweep {

namespace {

constexpr int32_t kSwallowed = -1;
constexpr int32_t kNone = -1;
// Together at most about 30 MB. All of MMLU and GSM8K has some 60,000 different pieces.
constexpr size_t kMaxCachedPieces = size_t{1} << 18;
constexpr size_t kMaxCachedBytes = 32;

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

Bpe::Bpe(
    std::vector<int32_t> byte_ids,
    const std::vector<Merge>& merges,
    StringMap<int32_t> whole_pieces)
    : byte_ids_(std::move(byte_ids)), whole_pieces_(std::move(whole_pieces)) {
  merges_.reserve(merges.size());
  int32_t rank = 0;
  for (const Merge& merge : merges) {
    // Of a pair that is listed twice the last one counts, as in the tokenizers library.
    merges_.insert_or_assign(pair_key(merge.left, merge.right), RankedMerge{rank++, merge.merged});
  }
}

void Bpe::append(std::string_view piece, std::vector<int32_t>& ids) const {
  if (const auto whole = whole_pieces_.find(piece); whole != whole_pieces_.end()) {
    ids.push_back(whole->second);
    return;
  }
  if (piece.size() > kMaxCachedBytes) return merge(piece, ids);
  if (const auto known = cache_.find(piece); known != cache_.end()) {
    ids.insert(ids.end(), known->second.begin(), known->second.end());
    return;
  }
  const auto first = static_cast<std::ptrdiff_t>(ids.size());
  merge(piece, ids);
  if (cache_.size() < kMaxCachedPieces) {
    cache_.emplace(piece, std::vector<int32_t>(ids.begin() + first, ids.end()));
  }
}

const Bpe::RankedMerge* Bpe::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Bpe::push_candidate(int32_t left, int32_t right) const {
  if (left == kNone || right == kNone) return;
  const RankedMerge* merge =
      find_merge(symbols_[static_cast<size_t>(left)].id, symbols_[static_cast<size_t>(right)].id);
  if (merge == nullptr) return;
  heap_.push_back({merge->rank, left, merge->merged});
  std::push_heap(heap_.begin(), heap_.end());
}

void Bpe::merge(std::string_view piece, std::vector<int32_t>& ids) const {
  symbols_.clear();
  heap_.clear();
  for (const char byte : piece) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(byte)];
    if (id == kNoToken) continue;
    const auto index = static_cast<int32_t>(symbols_.size());
    if (index > 0) symbols_.back().next = index;
    symbols_.push_back({id, index - 1, kNone});
  }
  for (int32_t left = 0; left + 1 < static_cast<int32_t>(symbols_.size()); ++left) {
    push_candidate(left, left + 1);
  }
  while (!heap_.empty()) {
    const Candidate best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    Symbol& left = symbols_[static_cast<size_t>(best.left)];
    if (left.id == kSwallowed || left.next == kNone) continue;
    Symbol& right = symbols_[static_cast<size_t>(left.next)];
    // One of the two may have been merged since the candidate was found.
    const RankedMerge* current = find_merge(left.id, right.id);
    if (current == nullptr || current->merged != best.merged) continue;
    left.id = best.merged;
    right.id = kSwallowed;
    left.next = right.next;
    if (left.next != kNone) symbols_[static_cast<size_t>(left.next)].previous = best.left;
    push_candidate(left.previous, best.left);
    push_candidate(best.left, left.next);
  }
  for (const Symbol& symbol : symbols_) {
    if (symbol.id != kSwallowed) ids.push_back(symbol.id);
  }
}

}  // namespace prune_sweep
