/// \file
/// What a tokenizer.json says, checked and in plain tables.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.hpp"

namespace prune_sweep {

/// A text that is found as it stands and never split.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool is_special = false;     ///< left out of decoded text on request
  bool is_normalized = false;  ///< looked for in normalized text, itself normalized
};

struct TokenizerFile {
  bool normalizes = false;                  ///< to NFC
  std::vector<std::string> split_patterns;  ///< applied one after the other
  std::vector<std::string> token_bytes;     ///< by id; empty for an id that is not used
  std::vector<bool> is_used;                ///< by id
  std::vector<int32_t> byte_ids;            ///< [256], of the model's tokens, or kNoToken
  std::vector<Merge> merges;                ///< by rank
  StringMap<int32_t> whole_pieces;  ///< tokens that a piece is before any merge (`ignore_merges`)
  std::vector<AddedToken> added_tokens;
  std::vector<int32_t> prefix_ids;  ///< put in front of a text, unless it is asked for plain
};

/// Reads the text of a tokenizer.json; `source` names it in messages. Throws Error (kBadInput)
/// naming the component for JSON that is broken and for anything that would change token ids but is
/// not supported.
TokenizerFile parse_tokenizer_file(std::string_view text, const std::string& source);

}  // namespace prune_sweep
