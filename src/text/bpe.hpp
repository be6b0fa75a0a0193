/// \file
/// Byte-pair encoding of one piece of text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace prune_sweep {

/// In a table of ids, the place of a byte without a token.
inline constexpr int32_t kNoToken = -1;

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <typename Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

/// The pair (left, right) becomes `merged`. A merge's rank is its place in the list.
struct Merge {
  int32_t left = 0;
  int32_t right = 0;
  int32_t merged = 0;
};

/// Keeps the ids of pieces it has seen, so one object is not for concurrent use.
class Bpe {
 public:
  /// `byte_ids` are the tokens of the 256 bytes, kNoToken for none. A piece in `whole_pieces` is
  /// that token, whatever its merges would give.
  Bpe(std::vector<int32_t> byte_ids,
      const std::vector<Merge>& merges,
      StringMap<int32_t> whole_pieces);

  /// Appends the ids of `piece`: its bytes as tokens, of which the adjacent pair of lowest rank,
  /// the leftmost on a tie, is merged until no pair is left. Bytes without a token are left out, as
  /// the tokenizers library does without an unknown token. O(n log n) in the piece's length.
  void append(std::string_view piece, std::vector<int32_t>& ids) const;

 private:
  struct RankedMerge {
    int32_t rank;
    int32_t merged;
  };
  // A list of tokens in place: a merge swallows the right one.
  struct Symbol {
    int32_t id;  // kSwallowed once merged into its left neighbour
    int32_t previous;
    int32_t next;
  };
  struct Candidate {
    int32_t rank;
    int32_t left;  // index of the left symbol
    int32_t merged;
    // For a heap with the smallest rank, then the leftmost pair, on top.
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };

  const RankedMerge* find_merge(int32_t left, int32_t right) const;
  void push_candidate(int32_t left, int32_t right) const;
  void merge(std::string_view piece, std::vector<int32_t>& ids) const;

  std::vector<int32_t> byte_ids_;                     // [256]
  std::unordered_map<uint64_t, RankedMerge> merges_;  // by left id * 2^32 + right id
  StringMap<int32_t> whole_pieces_;

  // Scratch space and memory of append().
  mutable std::vector<Symbol> symbols_;
  mutable std::vector<Candidate> heap_;
  mutable StringMap<std::vector<int32_t>> cache_;
};

}  // namespace prune_sweep
