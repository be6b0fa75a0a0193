#include "text/split_pattern.hpp"

#include "catch.hpp"
#include "reference_values.hpp"

using namespace prune_sweep;

namespace {

std::vector<std::string> pieces_of(const SplitPattern& pattern, const std::string& text) {
  std::vector<std::string_view> views;
  pattern.append_pieces(text, views);
  return {views.begin(), views.end()};
}

bool matches_all(const std::string& pattern, const std::string& text) {
  // A text that is no match as a whole is cut, or is followed by something in the same piece.
  return pieces_of(SplitPattern(pattern, "x"), text + "|") == std::vector<std::string>{text, "|"};
}

const char* const kQwen =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace

TEST_CASE("white space is the Unicode property White_Space, also inside classes") {
  std::string spaces;
  for (int32_t code = 0; code < 0x10000; ++code) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const bool is_space = (code >= 9 && code <= 13) || code == 0x20 || code == 0x85 ||
                          code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
                          code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
                          code == 0x3000;
    if (is_space) spaces += utf8_of(code);
  }
  CHECK(matches_all("\\s+", spaces));
  CHECK(matches_all("[\\s]+", spaces));
  for (const int32_t code : {0x180e, 0x200b, 0xfeff, 0x1c}) {
    CAPTURE(code);
    const std::string text = utf8_of(code);
    CHECK_FALSE(matches_all("\\s", text));
    CHECK(matches_all("\\S", text));
    CHECK(matches_all("[^\\s|]", text));
  }
}

TEST_CASE("letters, numbers and case are those of Unicode") {
  CHECK(matches_all("\\p{L}+", "a\xc3\xa9\xce\xb1\xd7\x90\xe6\xbc\xa2\xed\x95\x9c"));
  CHECK(matches_all("\\p{N}+", "1\xd9\xa1\xc2\xbd\xe2\x85\xa8"));  // Nd, Nd, No, Nl
  CHECK(matches_all("\\d+", "1\xd9\xa1"));
  CHECK_FALSE(matches_all("\\d", "\xc2\xbd"));
  CHECK(matches_all("(?i:'s)", "'\xc5\xbf"));      // long s
  CHECK(matches_all("(?i:'k)", "'\xe2\x84\xaa"));  // Kelvin sign
  CHECK_FALSE(matches_all("'s", "'S"));
}

TEST_CASE("text is cut into matches and what lies between them") {
  const SplitPattern digits("\\p{N}+", "x");
  CHECK(pieces_of(digits, "").empty());
  CHECK(pieces_of(digits, "ab12c3") == std::vector<std::string>{"ab", "12", "c", "3"});
  CHECK(pieces_of(digits, "ab") == std::vector<std::string>{"ab"});
  // Where the pattern matches nothing, a piece ends all the same.
  CHECK(
      pieces_of(SplitPattern("\\d*", "x"), "\xc3\xa9z12") ==
      std::vector<std::string>{"\xc3\xa9", "z", "12"});
  const SplitPattern qwen(kQwen, "x");
  CHECK(
      pieces_of(qwen, "I'LL  pay $18.\n\n x") ==
      std::vector<std::string>{"I", "'LL", " ", " pay", " $", "1", "8", ".\n\n", " x"});
  CHECK(pieces_of(qwen, "a \n \n  b") == std::vector<std::string>{"a", " \n \n", " ", " b"});
}

TEST_CASE("a megabyte of one kind of character is cut") {
  const SplitPattern qwen(kQwen, "x");
  const size_t size = 1 << 20;
  for (const char c : {' ', '\n', 'a', '.', '\''}) {
    CAPTURE(c);
    CHECK(pieces_of(qwen, std::string(size, c)).size() == 1);
  }
  CHECK(pieces_of(qwen, std::string(size, ' ') + "x").size() == 2);
  CHECK(pieces_of(qwen, std::string(size, '7')).size() == size);
}

TEST_CASE("constructs on which regular expression engines differ are refused by name") {
  const std::vector<std::string> patterns{
      "^a",      "a$",      "\\w+",   "\\b",   "\\h",     "\\v",          "\\R",    "\\X",
      "\\Ka",    "\\Aa",    "(a)\\1", "\\x41", "\\u0041", "\\pL",         "\\p{L",  "[[:alpha:]]",
      "[a[b]]",  "[a&&b]",  "[]a]",   "[^]a]", "[\\S]",   "[\\w]",        "(?m:a)", "(?i)a",
      "(?<n>a)", "(*UTF)a", "a{2}+",  "a{,2}", "a{x}",    "a{",           "[a",     "[a\\",
      "\\",      "(a",      "a)",     "*a",    "[z-a]",   "\\p{Nonsense}"};
  for (const std::string& pattern : patterns) {
    CAPTURE(pattern);
    CHECK_THROWS_WITH(
        SplitPattern(pattern, "tokenizer.json: pre_tokenizer"),
        ContainsSubstring("tokenizer.json: pre_tokenizer"));
  }
}
