#include "text/split_pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <new>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

// White_Space, to stand inside a class.
constexpr std::string_view kSpaces = R"(\t-\r\x{85}\p{Z})";
constexpr std::array<std::string_view, 7> kGroups{"?:", "?=", "?!", "?>", "?i:", "?<=", "?<!"};
// A match may take this many steps of its own, and so many more per byte of text.
constexpr size_t kMatchLimit = 10'000'000;
constexpr size_t kMatchLimitPerByte = 16;
constexpr size_t kJitStackStart = 32 << 10;
constexpr size_t kJitStackMax = 64 << 20;

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where)
      : pattern_(pattern), where_(where) {}

  std::string translate() {
    while (at_ < pattern_.size()) {
      switch (pattern_[at_]) {
        case '\\':
          escape(false);
          break;
        case '[':
          bracket_class();
          break;
        case '(':
          group();
          break;
        case '{':
          counted_repeat();
          break;
        case '^':
        case '$':
          refuse(pattern_.substr(at_, 1));  // of a line or of the text?
        default:
          copy(1);
      }
    }
    return std::move(result_);
  }

 private:
  void escape(bool in_class) {
    require_more(2);
    const char letter = pattern_[at_ + 1];
    switch (letter) {
      case 's':
        replace(in_class ? std::string(kSpaces) : "[" + std::string(kSpaces) + "]");
        return;
      case 'S':
        if (in_class) refuse("\\S in a class");
        replace("[^" + std::string(kSpaces) + "]");
        return;
      case 'd':
        replace("\\p{Nd}");
        return;
      case 'D':
        replace("\\P{Nd}");
        return;
      case 'p':
      case 'P':
        property();
        return;
      case 'n':
      case 'r':
      case 't':
        copy(2);
        return;
      default:
        if (std::ispunct(static_cast<unsigned char>(letter)) == 0) {
          refuse(pattern_.substr(at_, 2));
        }
        copy(2);
    }
  }

  void property() {
    const size_t end = pattern_.find('}', at_);
    if (!pattern_.substr(at_ + 2).starts_with('{') || end == std::string_view::npos) {
      refuse(pattern_.substr(at_, 2));
    }
    copy(end + 1 - at_);
  }

  void bracket_class() {
    copy(pattern_.substr(at_).starts_with("[^") ? 2 : 1);
    for (bool is_first = true;; is_first = false) {
      require_more(1);
      const char byte = pattern_[at_];
      // Classes inside classes and operations on them are spelt differently, or do not exist.
      if (byte == '[' || pattern_.substr(at_).starts_with("&&")) refuse("a class in a class");
      if (byte == ']' && is_first) refuse("an empty class");
      if (byte == '\\') {
        escape(true);
      } else {
        copy(1);
        if (byte == ']') return;
      }
    }
  }

  void group() {
    const std::string_view rest = pattern_.substr(at_ + 1);
    if (rest.starts_with('*')) refuse("(*");
    if (rest.starts_with('?')) {
      for (const std::string_view kind : kGroups) {
        if (rest.starts_with(kind)) return copy(1 + kind.size());
      }
      refuse(pattern_.substr(at_, 3));
    }
    copy(1);
  }

  // {n}, {n,} or {n,m}; what follows must not make it possessive in one engine only.
  void counted_repeat() {
    const size_t end = pattern_.find('}', at_);
    if (end == std::string_view::npos) refuse("{");
    const std::string_view counts = pattern_.substr(at_ + 1, end - at_ - 1);
    const bool is_plain = counts.find_first_not_of("0123456789,") == std::string_view::npos &&
                          !counts.empty() && counts.front() != ',' &&
                          counts.find(',') == counts.rfind(',');
    if (!is_plain || pattern_.substr(end + 1).starts_with('+')) {
      refuse(pattern_.substr(at_, end + 2 - at_));
    }
    copy(end + 1 - at_);
  }

  void copy(size_t count) {
    result_ += pattern_.substr(at_, count);
    at_ += count;
  }
  void replace(std::string_view text) {
    result_ += text;
    at_ += 2;
  }
  void require_more(size_t count) const {
    if (pattern_.size() - at_ < count) refuse("the end of the pattern");
  }
  [[noreturn]] void refuse(std::string_view construct) const {
    bad_input(
        where_ + ": " + printable(construct) + " in the pattern " + printable(pattern_, 200),
        "this construct is not supported");
  }

  std::string_view pattern_;
  const std::string& where_;
  std::string result_;
  size_t at_ = 0;
};

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Freer<pcre2_code_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Freer<pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Freer<pcre2_jit_stack_free>>;

template <typename Pointer>
Pointer made(Pointer pointer) {
  if (!pointer) throw std::bad_alloc();
  return pointer;
}

size_t code_point_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

}  // namespace

std::string to_pcre2(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).translate();
}

struct SplitPattern::State {
  std::string where;
  Code code;
  JitStack jit_stack;
  MatchContext match_context;
  MatchData match_data;
};

SplitPattern::SplitPattern(std::string_view pattern, const std::string& where)
    : state_(std::make_unique<State>()) {
  const std::string text = to_pcre2(pattern, where);
  const CompileContext context = made(CompileContext(pcre2_compile_context_create(nullptr)));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE error_offset = 0;
  state_->where = where;
  state_->code.reset(pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(text.data()),
      text.size(),
      PCRE2_UTF | PCRE2_UCP,
      &error,
      &error_offset,
      context.get()));
  if (!state_->code) {
    bad_input(where + ": the pattern " + printable(pattern, 200), pcre2_message(error));
  }
  // Without a just-in-time compiler PCRE2 interprets the pattern: slower, the same matches.
  pcre2_jit_compile(state_->code.get(), PCRE2_JIT_COMPLETE);
  state_->match_context = made(MatchContext(pcre2_match_context_create(nullptr)));
  state_->match_data = made(MatchData(pcre2_match_data_create(1, nullptr)));
  state_->jit_stack.reset(pcre2_jit_stack_create(kJitStackStart, kJitStackMax, nullptr));
  pcre2_jit_stack_assign(state_->match_context.get(), nullptr, state_->jit_stack.get());
}

SplitPattern::~SplitPattern() = default;
SplitPattern::SplitPattern(SplitPattern&&) noexcept = default;
SplitPattern& SplitPattern::operator=(SplitPattern&&) noexcept = default;

void SplitPattern::append_pieces(
    std::string_view text, std::vector<std::string_view>& pieces) const {
  const size_t limit = kMatchLimit + kMatchLimitPerByte * text.size();
  pcre2_set_match_limit(
      state_->match_context.get(), static_cast<uint32_t>(std::min<size_t>(limit, UINT32_MAX)));
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(state_->match_data.get());
  size_t done = 0;
  const auto append_up_to = [&](size_t end) {
    if (end > done) pieces.push_back(text.substr(done, end - done));
    done = end;
  };
  for (size_t at = 0; at < text.size();) {
    const int found = pcre2_match(
        state_->code.get(),
        reinterpret_cast<PCRE2_SPTR>(text.data()),
        text.size(),
        at,
        PCRE2_NO_UTF_CHECK,
        state_->match_data.get(),
        state_->match_context.get());
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      bad_input(
          state_->where + ": the pattern fails on a text of " + std::to_string(text.size()) +
              " bytes",
          pcre2_message(found));
    }
    append_up_to(bounds[0]);
    append_up_to(bounds[1]);
    // An empty match ends a piece too; the search goes on behind the next character.
    at = bounds[1];
    if (bounds[0] == bounds[1] && at < text.size()) at += code_point_length(text[at]);
  }
  append_up_to(text.size());
}

}  // namespace prune_sweep
