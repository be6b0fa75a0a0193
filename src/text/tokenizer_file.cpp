#include "text/tokenizer_file.hpp"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/json_file.hpp"
#include "prune_sweep/text/utf8.hpp"

namespace prune_sweep {

namespace {

using Json = nlohmann::json;

// The pattern of ByteLevel with use_regex, from the tokenizers library.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// An id is an index into tables; no vocabulary comes near this.
constexpr int64_t kMaxTokens = int64_t{1} << 22;

// GPT-2's stand-ins: printable Latin-1 bytes stand for themselves, the other 68, in order, for
// U+0100, U+0101, ... The inverse, by code point; -1 for no byte.
std::array<int16_t, 512> make_byte_of_stand_in() {
  std::array<int16_t, 512> bytes;
  bytes.fill(-1);
  size_t next = 256;
  for (int16_t byte = 0; byte < 256; ++byte) {
    const bool is_printable =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    bytes[is_printable ? static_cast<size_t>(byte) : next++] = byte;
  }
  return bytes;
}

// The bytes that a token's characters stand for, or nothing when one of them is no stand-in.
std::optional<std::string> bytes_of_stand_ins(std::string_view token) {
  static const std::array<int16_t, 512> byte_of_stand_in = make_byte_of_stand_in();
  std::string bytes;
  for (size_t at = 0; at < token.size(); ++at) {
    auto code = static_cast<unsigned char>(token[at]);
    size_t character = code;
    if (code >= 0x80) {
      // All stand-ins have at most two bytes of UTF-8.
      if (code >= 0xe0 || ++at == token.size()) return std::nullopt;
      character = (code & 0x1fU) << 6 | (static_cast<unsigned char>(token[at]) & 0x3fU);
    }
    if (character >= byte_of_stand_in.size() || byte_of_stand_in[character] < 0) {
      return std::nullopt;
    }
    bytes += static_cast<char>(byte_of_stand_in[character]);
  }
  return bytes;
}

// What a token gives in decoded text. The ByteLevel decoder takes a token that has other characters
// in it as it stands.
std::string decoded_bytes(const std::string& token) {
  return bytes_of_stand_ins(token).value_or(token);
}

class Parser {
 public:
  explicit Parser(const std::string& source) : source_(source) {}

  TokenizerFile parse(std::string_view text) {
    root_ = parse_json(text, source_);
    require(root_.is_object(), source_ + ": not a tokenizer", "a JSON object is expected");
    for (const char* key : {"truncation", "padding"}) {
      if (!member(root_, key).is_null()) refuse(key, "has to be null");
    }
    read_normalizer(member(root_, "normalizer"));
    read_pre_tokenizer(member(root_, "pre_tokenizer"));
    if (type_of(member(root_, "decoder"), "decoder") != "ByteLevel") {
      refuse("decoder", "only ByteLevel is supported");
    }
    read_model(member(root_, "model"));
    read_added_tokens(member(root_, "added_tokens"));
    read_post_processor(member(root_, "post_processor"));
    return std::move(file_);
  }

 private:
  static const Json& member(const Json& object, const char* key) {
    static const Json null;
    if (!object.is_object()) return null;
    const auto found = object.find(key);
    return found == object.end() ? null : *found;
  }

  [[noreturn]] void refuse(std::string_view component, std::string_view why) const {
    bad_input(source_ + ": " + printable(component, 200), printable(why, 200));
  }

  std::string type_of(const Json& component, std::string_view name) const {
    const Json& type = member(component, "type");
    if (!type.is_string()) refuse(name, "has no type");
    return type.get<std::string>();
  }

  bool flag(const Json& object, const char* key, const std::string& where, bool otherwise) const {
    const Json& value = member(object, key);
    if (value.is_null()) return otherwise;
    if (!value.is_boolean()) refuse(where + "." + key, "has to be true or false");
    return value.get<bool>();
  }

  void require_false(const Json& object, const char* key, const std::string& where) const {
    if (flag(object, key, where, false)) refuse(where + "." + key, "true is not supported");
  }

  // Null and the empty string both mean "none".
  void require_none(const Json& object, const char* key, const std::string& where) const {
    const Json& value = member(object, key);
    if (value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty()))
      return;
    refuse(where + "." + key, brief(value) + " is not supported");
  }

  void read_normalizer(const Json& normalizer) {
    if (normalizer.is_null()) return;
    const std::string type = type_of(normalizer, "normalizer");
    if (type != "NFC") refuse("normalizer " + type, "only NFC is supported");
    file_.normalizes = true;
  }

  void read_pre_tokenizer(const Json& pre_tokenizer) {
    if (type_of(pre_tokenizer, "pre_tokenizer") != "Sequence") {
      return read_byte_level(pre_tokenizer, "pre_tokenizer");
    }
    const Json& steps = member(pre_tokenizer, "pretokenizers");
    if (!steps.is_array() || steps.empty()) refuse("pre_tokenizer.pretokenizers", "is not a list");
    for (size_t i = 0; i < steps.size(); ++i) {
      const std::string where = "pre_tokenizer.pretokenizers[" + std::to_string(i) + "]";
      if (i + 1 == steps.size()) {
        read_byte_level(steps[i], where);
      } else {
        read_split(steps[i], where);
      }
    }
  }

  void read_split(const Json& split, const std::string& where) {
    const std::string type = type_of(split, where);
    if (type != "Split") refuse(where + " " + type, "only Split is supported before ByteLevel");
    const Json& pattern = member(member(split, "pattern"), "Regex");
    if (!pattern.is_string()) refuse(where + ".pattern", "only a Regex is supported");
    const Json& behavior = member(split, "behavior");
    if (behavior != "Isolated") refuse(where + ".behavior", "only Isolated is supported");
    require_false(split, "invert", where);
    file_.split_patterns.push_back(pattern.get<std::string>());
  }

  void read_byte_level(const Json& byte_level, const std::string& where) {
    const std::string type = type_of(byte_level, where);
    if (type != "ByteLevel") refuse(where + " " + type, "ByteLevel is expected here");
    require_false(byte_level, "add_prefix_space", where);
    // trim_offsets is about offsets, which nobody here asks for.
    if (flag(byte_level, "use_regex", where, true)) file_.split_patterns.emplace_back(kGpt2Pattern);
  }

  // Reads the tokens in front of a text; called when all tokens are known.
  void read_post_processor(const Json& post_processor) {
    if (post_processor.is_null()) return;
    const std::string type = type_of(post_processor, "post_processor");
    if (type == "ByteLevel") return;  // offsets again
    if (type == "TemplateProcessing") return read_template(post_processor);
    if (type != "Sequence") refuse("post_processor " + type, "is not supported");
    const Json& steps = member(post_processor, "processors");
    if (!steps.is_array()) refuse("post_processor.processors", "is not a list");
    for (const Json& step : steps) {
      if (type_of(step, "post_processor") == "Sequence") {
        refuse("post_processor", "a Sequence in a Sequence is not supported");
      }
      read_post_processor(step);
    }
  }

  // Special tokens, then the text ($A).
  void read_template(const Json& processor) {
    const Json& pieces = member(processor, "single");
    if (!pieces.is_array() || pieces.empty() || !pieces.back().contains("Sequence")) {
      refuse("post_processor TemplateProcessing", "tokens behind a text are not supported");
    }
    std::vector<int32_t> prefix;
    for (size_t i = 0; i + 1 < pieces.size(); ++i) {
      const Json& token = member(member(pieces[i], "SpecialToken"), "id");
      if (!token.is_string()) {
        refuse("post_processor TemplateProcessing", "only tokens and one text are supported");
      }
      for (const int32_t id : template_ids(processor, token.get_ref<const std::string&>())) {
        prefix.push_back(id);
      }
    }
    // A later step puts its tokens in front of those of an earlier one.
    file_.prefix_ids.insert(file_.prefix_ids.begin(), prefix.begin(), prefix.end());
  }

  std::vector<int32_t> template_ids(const Json& processor, const std::string& token) const {
    const std::string where = "post_processor TemplateProcessing: " + token;
    const Json& entry = member(member(processor, "special_tokens"), token.c_str());
    const Json& ids = member(entry, "ids");
    if (!ids.is_array() || ids.empty()) refuse(where, "is not in its special_tokens");
    std::vector<int32_t> result;
    for (const Json& id : ids) {
      const bool is_known = id.is_number_unsigned() && id.get<uint64_t>() < file_.is_used.size() &&
                            file_.is_used[id.get<size_t>()];
      if (!is_known) refuse(where, "its id " + brief(id) + " is not a token's");
      result.push_back(id.get<int32_t>());
    }
    return result;
  }

  void read_model(const Json& model) {
    if (!model.is_object()) refuse("model", "is missing");
    // The oldest files do not say the type; merges are BPE's.
    const std::string type = model.contains("type") ? type_of(model, "model") : "BPE";
    if (type != "BPE") refuse("model " + type, "only BPE is supported");
    const Json& dropout = member(model, "dropout");
    if (!dropout.is_null() && dropout != 0) refuse("model.dropout", "has to be null");
    require_none(model, "unk_token", "model");
    require_none(model, "continuing_subword_prefix", "model");
    require_none(model, "end_of_word_suffix", "model");
    require_false(model, "fuse_unk", "model");
    require_false(model, "byte_fallback", "model");
    read_vocab(member(model, "vocab"), flag(model, "ignore_merges", "model", false));
    read_merges(member(model, "merges"));
  }

  void read_vocab(const Json& vocab, bool ignores_merges) {
    if (!vocab.is_object() || vocab.empty()) refuse("model.vocab", "is not an object with tokens");
    ids_.reserve(vocab.size());
    file_.byte_ids.assign(256, kNoToken);
    for (const auto& [token, id] : vocab.get_ref<const Json::object_t&>()) {
      if (!id.is_number_integer()) refuse("model.vocab: " + token, "its id is not an integer");
      const bool fits = id.is_number_unsigned() && id.get<uint64_t>() < kMaxTokens;
      if (!fits) refuse("model.vocab: " + token, "id " + id.dump() + " is out of range");
      add(token, id.get<int32_t>());
      const std::optional<std::string> bytes = bytes_of_stand_ins(token);
      if (bytes && bytes->size() == 1) {
        file_.byte_ids[static_cast<unsigned char>(bytes->front())] = id.get<int32_t>();
      }
      if (bytes && ignores_merges) file_.whole_pieces.emplace(*bytes, id.get<int32_t>());
    }
  }

  // `token` is a string of root_.
  void add(const std::string& token, int32_t id) {
    const auto index = static_cast<size_t>(id);
    if (index >= file_.token_bytes.size()) {
      file_.token_bytes.resize(index + 1);
      file_.is_used.resize(index + 1);
    }
    if (file_.is_used[index]) refuse("token " + token, "id " + std::to_string(id) + " is taken");
    file_.is_used[index] = true;
    file_.token_bytes[index] = decoded_bytes(token);
    ids_.emplace(token, id);
  }

  void read_merges(const Json& merges) {
    if (!merges.is_array()) refuse("model.merges", "is not a list");
    file_.merges.reserve(merges.size());
    for (size_t i = 0; i < merges.size(); ++i) {
      const Json& merge = merges[i];
      std::string_view left;
      std::string_view right;
      if (merge.is_string()) {
        const std::string_view pair = merge.get_ref<const std::string&>();
        if (pair.starts_with("#version")) continue;
        const size_t space = pair.find(' ');
        if (space == pair.npos || space != pair.rfind(' '))
          refuse_merge(i, "is not a pair of tokens");
        left = pair.substr(0, space);
        right = pair.substr(space + 1);
      } else if (
          merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        left = merge[0].get_ref<const std::string&>();
        right = merge[1].get_ref<const std::string&>();
      } else {
        refuse_merge(i, "is not a pair of tokens");
      }
      const std::string merged = std::string(left).append(right);
      file_.merges.push_back({model_id(left, i), model_id(right, i), model_id(merged, i)});
    }
  }

  int32_t model_id(std::string_view token, size_t merge) const {
    const auto found = ids_.find(token);
    if (found == ids_.end()) {
      refuse_merge(merge, "the vocabulary lacks the token " + std::string(token));
    }
    return found->second;
  }

  [[noreturn]] void refuse_merge(size_t merge, std::string_view why) const {
    refuse("model.merges[" + std::to_string(merge) + "]", why);
  }

  void read_added_tokens(const Json& tokens) {
    if (tokens.is_null()) return;
    if (!tokens.is_array()) refuse("added_tokens", "is not a list");
    const size_t model_size = ids_.size();
    size_t next_id = model_size;
    for (const Json& token : tokens) {
      const Json& content = member(token, "content");
      if (!content.is_string() || content.get_ref<const std::string&>().empty()) {
        refuse("added_tokens", "a token has no content");
      }
      AddedToken added{0, content.get<std::string>()};
      const std::string where = "added_tokens: " + added.content;
      for (const char* key : {"lstrip", "rstrip", "single_word"}) require_false(token, key, where);
      added.is_special = flag(token, "special", where, false);
      added.is_normalized = flag(token, "normalized", where, !added.is_special);
      // The tokenizers library does not take the id from the file: a new token gets the next one.
      const auto known = ids_.find(added.content);
      added.id = static_cast<int32_t>(
          known != ids_.end() ? static_cast<size_t>(known->second) : next_id++);
      if (member(token, "id") != added.id) {
        refuse(where, "its id is not " + std::to_string(added.id) + ", the next one");
      }
      if (known == ids_.end()) add(content.get_ref<const std::string&>(), added.id);
      if (added.is_normalized && file_.normalizes) {
        file_.token_bytes[static_cast<size_t>(added.id)] = decoded_bytes(to_nfc(added.content));
      }
      file_.added_tokens.push_back(std::move(added));
    }
  }

  const std::string& source_;
  Json root_;
  std::unordered_map<std::string_view, int32_t> ids_;  // by the token's text, which root_ holds
  TokenizerFile file_;
};

}  // namespace

TokenizerFile parse_tokenizer_file(std::string_view text, const std::string& source) {
  return Parser(source).parse(text);
}

}  // namespace prune_sweep
