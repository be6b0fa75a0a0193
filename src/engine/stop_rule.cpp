#include "engine/stop_rule.hpp"

#include <algorithm>
#include <iterator>

namespace prune_sweep {

std::string text_of(const std::vector<int32_t>& ids, const Tokenizer& tokenizer) {
  std::vector<int32_t> known;
  std::copy_if(ids.begin(), ids.end(), std::back_inserter(known), [&](int32_t id) {
    return id < tokenizer.vocab_size();
  });
  return tokenizer.decode(known, SpecialTokens::kSkip);
}

size_t find_stop(std::string_view text, const std::vector<std::string>& until) {
  size_t first = std::string_view::npos;
  for (const std::string& stop : until) {
    if (!stop.empty()) first = std::min(first, text.find(stop));
  }
  return first;
}

bool may_end_with_stop(
    const std::vector<int32_t>& ids,
    const std::vector<std::string>& until,
    const Tokenizer& tokenizer) {
  size_t longest = 0;
  for (const std::string& stop : until) longest = std::max(longest, stop.size());
  if (longest == 0 || ids.empty()) return false;
  // What a cut leaves of a character's bytes comes out as up to three characters of three bytes.
  constexpr size_t kMargin_bytes = 16;
  const size_t enough = text_of({ids.back()}, tokenizer).size() + longest + kMargin_bytes;
  for (size_t count = 8;; count *= 2) {
    count = std::min(count, ids.size());
    const std::string end =
        text_of({ids.end() - static_cast<std::ptrdiff_t>(count), ids.end()}, tokenizer);
    if (count == ids.size() || end.size() >= enough) {
      return find_stop(end, until) != std::string::npos;
    }
  }
}

}  // namespace prune_sweep
