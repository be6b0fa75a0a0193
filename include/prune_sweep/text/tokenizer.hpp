/// \file
/// Byte-level BPE as a `tokenizer.json` describes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace prune_sweep {

/// What decode() does with added tokens marked special.
enum class SpecialTokens : uint8_t { kSkip, kKeep };

/// Gives the ids that the tokenizers library gives, for the components in use for byte-level BPE:
/// normalizer NFC or none; Split patterns, then ByteLevel; model BPE; templates with tokens in
/// front of the text. encode() remembers pieces of text, so it is for one thread at a time; the
/// others may be called meanwhile.
class Tokenizer {
 public:
  /// Reads MODEL_DIR/tokenizer.json. Throws Error (kBadInput) naming the file and the component for
  /// JSON that is broken, a component that is not supported, or a merge that the vocabulary lacks.
  static Tokenizer read(const std::filesystem::path& model_dir);
  /// As read(), from the text of a tokenizer.json; `source` names it in messages.
  static Tokenizer parse(std::string_view text, const std::string& source);

  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Token ids of a prompt as lm-evaluation-harness encodes it by default: those of its text,
  /// behind the tokens that the file's post-processor puts in front of a text, such as Llama 3's
  /// <|begin_of_text|>; but not those where the text begins with the first of them.
  std::vector<int32_t> encode(std::string_view text) const;

  /// Token ids of UTF-8 text, added tokens found inside it, nothing put before or after.
  /// Bytes that are not UTF-8 are taken as U+FFFD, as Python's text would hold them.
  std::vector<int32_t> encode_plain(std::string_view text) const;

  /// Text of ids; bad UTF-8 comes out as U+FFFD. Ids that no token has, such as the padding rows of
  /// an embedding, give no text, as in the tokenizers library: see has_token().
  std::string decode(std::span<const int32_t> ids, SpecialTokens special) const;

  /// Whether some token has this id.
  bool has_token(int32_t id) const;
  /// One more than the largest id.
  int32_t vocab_size() const;
  /// Id of an added token's text, or -1.
  int32_t added_token_id(std::string_view content) const;
  /// SHA-256 of tokenizer.json.
  const std::string& sha256() const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace prune_sweep
