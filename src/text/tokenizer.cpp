#include "prune_sweep/text/tokenizer.hpp"

#include <algorithm>
#include <array>

#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/text/reader.hpp"
#include "prune_sweep/text/utf8.hpp"
#include "text/bpe.hpp"
#include "text/split_pattern.hpp"
#include "text/tokenizer_file.hpp"

namespace prune_sweep {

namespace {

// Finds literal texts: at the first place where any of them stands, the longest.
class Finder {
 public:
  struct Match {
    size_t begin;
    size_t length;
    int32_t id;
  };

  void add(std::string content, int32_t id) {
    auto& entries = by_first_byte_[static_cast<unsigned char>(content[0])];
    const auto is_shorter = [&](const Entry& entry) {
      return entry.content.size() < content.size();
    };
    const auto at = std::find_if(entries.begin(), entries.end(), is_shorter);
    entries.insert(at, {std::move(content), id});
  }

  // The first match at or after `at`; at the end of the text, of length 0, when there is none.
  Match find(std::string_view text, size_t at) const {
    for (; at < text.size(); ++at) {
      for (const Entry& entry : by_first_byte_[static_cast<unsigned char>(text[at])]) {
        if (text.substr(at).starts_with(entry.content)) {
          return {at, entry.content.size(), entry.id};
        }
      }
    }
    return {text.size(), 0, -1};
  }

 private:
  struct Entry {
    std::string content;
    int32_t id;
  };
  std::array<std::vector<Entry>, 256> by_first_byte_;  // longest first
};

// Calls on_text(part) and on_token(id) for what stands between matches and for the matches, in
// order.
template <typename OnText, typename OnToken>
void for_each_part(std::string_view text, const Finder& finder, OnText on_text, OnToken on_token) {
  for (size_t at = 0; at < text.size();) {
    const Finder::Match match = finder.find(text, at);
    if (match.begin > at) on_text(text.substr(at, match.begin - at));
    if (match.length > 0) on_token(match.id);
    at = match.begin + match.length;
  }
}

}  // namespace

struct Tokenizer::State {
  std::string sha256;
  bool normalizes;
  std::vector<int32_t> prefix_ids;
  std::vector<SplitPattern> splits;
  Bpe bpe;
  Finder added;             // in the text as it is given
  Finder normalized_added;  // in normalized text
  StringMap<int32_t> added_ids;
  std::vector<std::string> token_bytes;  // by id
  std::vector<bool> is_used;             // by id
  std::vector<bool> is_special;          // by id

  State(TokenizerFile file, std::string_view text, const std::string& source)
      : sha256(sha256_hex(text)),
        normalizes(file.normalizes),
        prefix_ids(std::move(file.prefix_ids)),
        bpe(std::move(file.byte_ids), file.merges, std::move(file.whole_pieces)),
        token_bytes(std::move(file.token_bytes)),
        is_used(std::move(file.is_used)),
        is_special(token_bytes.size()) {
    for (const std::string& pattern : file.split_patterns) {
      splits.emplace_back(pattern, source + ": pre_tokenizer");
    }
    for (const AddedToken& token : file.added_tokens) {
      is_special[static_cast<size_t>(token.id)] = token.is_special;
      added_ids.emplace(token.content, token.id);
      if (token.is_normalized) {
        normalized_added.add(normalized(token.content), token.id);
      } else {
        added.add(token.content, token.id);
      }
    }
  }

  std::string normalized(std::string_view part) const {
    return normalizes ? to_nfc(part) : std::string(part);
  }

  void append_plain(std::string_view part, std::vector<int32_t>& ids) const {
    std::vector<std::string_view> pieces{part};
    for (const SplitPattern& split : splits) {
      std::vector<std::string_view> finer;
      for (const std::string_view piece : pieces) split.append_pieces(piece, finer);
      pieces = std::move(finer);
    }
    for (const std::string_view piece : pieces) bpe.append(piece, ids);
  }
};

Tokenizer Tokenizer::read(const std::filesystem::path& model_dir) {
  const std::filesystem::path path = model_dir / "tokenizer.json";
  return parse(read_file(path), path.string());
}

Tokenizer Tokenizer::parse(std::string_view text, const std::string& source) {
  return Tokenizer(std::make_unique<State>(parse_tokenizer_file(text, source), text, source));
}

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids = state_->prefix_ids;
  if (!ids.empty() && text.starts_with(state_->token_bytes[static_cast<size_t>(ids.front())])) {
    ids.clear();
  }
  const std::vector<int32_t> plain = encode_plain(text);
  ids.insert(ids.end(), plain.begin(), plain.end());
  return ids;
}

std::vector<int32_t> Tokenizer::encode_plain(std::string_view text) const {
  if (find_invalid_utf8(text) != std::string_view::npos) {
    return encode_plain(replace_invalid_utf8(text));
  }
  std::vector<int32_t> ids;
  const auto append_token = [&](int32_t id) { ids.push_back(id); };
  const auto append_plain = [&](std::string_view part) { state_->append_plain(part, ids); };
  const auto append_text = [&](std::string_view part) {
    const std::string normalized = state_->normalized(part);
    for_each_part(normalized, state_->normalized_added, append_plain, append_token);
  };
  for_each_part(text, state_->added, append_text, append_token);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, SpecialTokens special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (!has_token(id)) continue;
    const auto index = static_cast<size_t>(id);
    if (special == SpecialTokens::kSkip && state_->is_special[index]) continue;
    bytes += state_->token_bytes[index];
  }
  return replace_invalid_utf8(bytes);
}

bool Tokenizer::has_token(int32_t id) const {
  return id >= 0 && id < vocab_size() && state_->is_used[static_cast<size_t>(id)];
}

int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(state_->token_bytes.size()); }

int32_t Tokenizer::added_token_id(std::string_view content) const {
  const auto found = state_->added_ids.find(content);
  return found == state_->added_ids.end() ? -1 : found->second;
}

const std::string& Tokenizer::sha256() const { return state_->sha256; }

}  // namespace prune_sweep
