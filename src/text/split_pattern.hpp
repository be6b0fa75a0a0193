/// \file
/// A pre-tokenizer's regular expression: cuts text into its matches and what lies between them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prune_sweep {

/// `pattern` with the meaning that the tokenizers library gives it, as a PCRE2 pattern: PCRE2's \s
/// has U+180E in it, which is no White_Space. Throws Error (kBadInput) beginning with `where` for
/// constructs on whose meaning the two engines differ.
std::string to_pcre2(std::string_view pattern, const std::string& where);

class SplitPattern {
 public:
  /// Throws Error (kBadInput) beginning with `where` for a pattern that is broken or not supported.
  SplitPattern(std::string_view pattern, const std::string& where);
  ~SplitPattern();
  SplitPattern(SplitPattern&&) noexcept;
  SplitPattern& operator=(SplitPattern&&) noexcept;

  /// Appends the parts of `text` in order: each match and each stretch between matches. `text` is
  /// well-formed UTF-8. Throws Error (kBadInput) where matching takes too much.
  void append_pieces(std::string_view text, std::vector<std::string_view>& pieces) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace prune_sweep
