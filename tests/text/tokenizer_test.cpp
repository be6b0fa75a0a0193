#include "prune_sweep/text/tokenizer.hpp"

#include "catch.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/text/utf8.hpp"
#include "reference_values.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace {

const std::string kQwenDir = std::string(PRUNE_SWEEP_DATA_DIR) + "/qwen3-0.6b";

const Tokenizer& qwen() {
  static const Tokenizer tokenizer = Tokenizer::read(kQwenDir);
  return tokenizer;
}

Tokenizer read_text(const std::string& tokenizer_json) {
  const TempDir dir;
  dir.write("tokenizer.json", tokenizer_json);
  return Tokenizer::read(dir.path());
}

// Qwen3-0.6B's tokenizer with the components at the given JSON pointers replaced.
Tokenizer changed_qwen(const Json& changes) {
  // Not the ordered kind, which takes quadratic time for the vocabulary.
  auto file = nlohmann::json::parse(read_file(kQwenDir + "/tokenizer.json"));
  for (const auto& [pointer, value] : changes.items()) {
    file[nlohmann::json::json_pointer(pointer)] = value;
  }
  return read_text(file.dump());
}

// A whole, small tokenizer: the bytes a, b, c and the merge ab.
Json small_file() {
  return Json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "post_processor": null,
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
              "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3}, "merges": [["a", "b"]]}})");
}

std::vector<std::string> split_by(const std::string& text, const std::string& mark) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end; (end = text.find(mark, begin)) != std::string::npos; begin = end + mark.size()) {
    parts.push_back(text.substr(begin, end - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<int32_t> numbers_of(const std::string& line) {
  std::vector<int32_t> numbers;
  for (const std::string& word : split_by(line, " ")) {
    if (!word.empty()) numbers.push_back(std::stoi(word));
  }
  return numbers;
}

}  // namespace

TEST_CASE("the 46 texts of llama.cpp's vocabulary test give their ids") {
  const std::string base = std::string(PRUNE_SWEEP_DATA_DIR) + "/vectors/ggml-vocab-qwen2.gguf";
  const auto texts = split_by(read_file(base + ".inp"), "\n__ggml_vocab_test__\n");
  const auto lines = split_by(read_file(base + ".out"), "\n");
  REQUIRE(texts.size() == 47);  // an empty text follows the last mark
  for (size_t i = 0; i < 46; ++i) {
    CAPTURE(texts[i]);
    CHECK(qwen().encode(texts[i]) == numbers_of(lines[i]));
  }
}

TEST_CASE("texts give the ids that the tokenizers library gives, whatever the components") {
  size_t count = 0;
  for (const Json& variant : reference("tokens.jsonl")) {
    const Tokenizer tokenizer = changed_qwen(variant[1]);
    for (const Json& row : variant[2]) {
      const std::string text = row[0].get<std::string>();
      CAPTURE(variant[0], text);
      CHECK(tokenizer.encode(text) == row[1].get<std::vector<int32_t>>());
      ++count;
    }
  }
  REQUIRE(count == 6 * 326);
}

TEST_CASE("ids give the texts that the tokenizers library gives") {
  Json added;
  for (const Json& variant : reference("tokens.jsonl")) {
    if (variant[0] == "added") added = variant[1];
  }
  const Tokenizer changed = changed_qwen(added);
  for (const Json& row : reference("decoded.jsonl")) {
    const Tokenizer& tokenizer = row[0] == "qwen3" ? qwen() : changed;
    const auto ids = row[1].get<std::vector<int32_t>>();
    CAPTURE(row[0], ids);
    CHECK(tokenizer.decode(ids, SpecialTokens::kKeep) == row[2].get<std::string>());
    CHECK(tokenizer.decode(ids, SpecialTokens::kSkip) == row[3].get<std::string>());
  }
}

TEST_CASE("decoding what was encoded gives the normalized text back") {
  const Json rows = reference("tokens.jsonl")[0][2];
  REQUIRE(rows.size() == 326);
  for (const Json& row : rows) {
    const std::string text = row[0].get<std::string>();
    CAPTURE(text);
    CHECK(qwen().decode(qwen().encode(text), SpecialTokens::kKeep) == to_nfc(text));
  }
}

TEST_CASE("bytes that are not UTF-8 are encoded as U+FFFD") {
  for (const Json& row : reference("utf8.jsonl")) {
    CAPTURE(row[0]);
    CHECK(
        qwen().encode(from_hex(row[0].get<std::string>())) ==
        qwen().encode(row[1].get<std::string>()));
  }
}

TEST_CASE("added tokens are found inside text and known by name") {
  CHECK(qwen().encode("Answer: A") == std::vector<int32_t>{16141, 25, 362});
  CHECK(qwen().encode("#### 18") == std::vector<int32_t>{820, 220, 16, 23});
  CHECK(
      qwen().encode("<|im_start|>A<think><|im_end|>") ==
      std::vector<int32_t>{151644, 32, 151667, 151645});
  CHECK(qwen().added_token_id("<|im_end|>") == 151645);
  CHECK(qwen().added_token_id("<|im_end") == -1);
  CHECK(qwen().added_token_id("A") == -1);
  CHECK(qwen().vocab_size() == 151669);
  CHECK(qwen().has_token(151668));
  CHECK_FALSE(qwen().has_token(151669));
  CHECK_FALSE(qwen().has_token(-1));
  CHECK(qwen().sha256() == "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4");
}

TEST_CASE("an id without a token gives no text") {
  const std::vector<int32_t> ids{32, 151700, -5, INT32_MAX, 33};
  CHECK(qwen().decode(ids, SpecialTokens::kKeep) == "AB");
}

TEST_CASE("a piece of a megabyte is encoded in time that grows as n log n") {
  const size_t size = 1 << 20;
  for (const std::string unit : {"a", "ab", "\xc3\xa9", " ", "=-"}) {
    CAPTURE(unit);
    std::string text;
    while (text.size() < size) text += unit;
    const auto ids = qwen().encode(text);
    CHECK(ids.size() < text.size());
    CHECK(qwen().decode(ids, SpecialTokens::kKeep) == text);
  }
}

TEST_CASE("the forms of a tokenizer.json that mean the same give the same ids") {
  struct Case {
    std::string pointer;
    Json value;
  };
  const std::vector<Case> cases{
      {"/version", "1.0"},
      {"/model/merges", {"a b"}},
      {"/model/merges", {"#version: 0.2", "a b"}},
      {"/model/unk_token", ""},
      {"/model/end_of_word_suffix", ""},
      {"/model/dropout", 0.0},
      {"/post_processor", {{"type", "ByteLevel"}}},
      {"/post_processor",
       Json::parse(
           R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}]})")},
      {"/post_processor",
       Json::parse(R"({"type": "Sequence", "processors": [{"type": "ByteLevel"}]})")},
      {"/pre_tokenizer",
       Json::parse(
           R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "use_regex": true}]})")},
      {"/normalizer", {{"type", "NFC"}}},
      {"/added_tokens", Json::parse(R"([{"id": 3, "content": "ab"}])")},
  };
  for (const Case& c : cases) {
    CAPTURE(c.pointer, c.value.dump());
    Json file = small_file();
    file[Json::json_pointer(c.pointer)] = c.value;
    // The byte x has no token and is left out, as in the tokenizers library.
    CHECK(read_text(file.dump()).encode("abcxab") == std::vector<int32_t>{3, 2, 3});
  }
  Json untyped = small_file();
  untyped["model"].erase("type");
  CHECK(read_text(untyped.dump()).encode("abc") == std::vector<int32_t>{3, 2});
}

TEST_CASE("a prompt begins with the tokens of the template, plain text does not") {
  Json file = small_file();
  file["added_tokens"] = Json::parse(R"([{"id": 4, "content": "<s>", "special": true}])");
  file["post_processor"] = Json::parse(R"({"type": "Sequence", "processors": [
      {"type": "ByteLevel"},
      {"type": "TemplateProcessing",
       "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
       "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}}}]})");
  const Tokenizer tokenizer = read_text(file.dump());
  CHECK(tokenizer.encode("abc") == std::vector<int32_t>{4, 3, 2});
  CHECK(tokenizer.encode("") == std::vector<int32_t>{4});
  CHECK(tokenizer.encode("<s>abc") == std::vector<int32_t>{4, 3, 2});
  CHECK(tokenizer.encode("a<s>") == std::vector<int32_t>{4, 0, 4});
  CHECK(tokenizer.encode_plain("abc") == std::vector<int32_t>{3, 2});
}

TEST_CASE("what a tokenizer.json asks for and is not supported is refused by name") {
  struct Case {
    std::string pointer;
    std::string value;
    std::string message;
  };
  const std::vector<Case> cases{
      {"/truncation", R"({"max_length": 4})", "truncation (has to be null)"},
      {"/padding", R"({"strategy": "BatchLongest"})", "padding (has to be null)"},
      {"/normalizer", R"({"type": "NFKC"})", "normalizer NFKC (only NFC is supported)"},
      {"/normalizer", R"({"type": "Sequence", "normalizers": []})", "normalizer Sequence"},
      {"/normalizer", R"("NFC")", "normalizer (has no type)"},
      {"/pre_tokenizer", "null", "pre_tokenizer (has no type)"},
      {"/pre_tokenizer", R"({"type": "Metaspace"})", "pre_tokenizer Metaspace"},
      {"/pre_tokenizer/add_prefix_space", "true", "pre_tokenizer.add_prefix_space"},
      {"/pre_tokenizer/use_regex", "1", "pre_tokenizer.use_regex (has to be true or false)"},
      {"/pre_tokenizer",
       R"({"type": "Sequence", "pretokenizers": []})",
       "pre_tokenizer.pretokenizers"},
      {"/pre_tokenizer",
       R"({"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"}]})",
       "pre_tokenizer.pretokenizers[0] Digits"},
      {"/pre_tokenizer",
       R"({"type": "Sequence", "pretokenizers": [{"type": "Split"}]})",
       "pre_tokenizer.pretokenizers[0] Split (ByteLevel is expected here)"},
      {"/pre_tokenizer",
       R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"String": " "}}, {"type": "ByteLevel"}]})",
       "pre_tokenizer.pretokenizers[0].pattern (only a Regex is supported)"},
      {"/pre_tokenizer",
       R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": " "}, "behavior": "Removed"}, {"type": "ByteLevel"}]})",
       "pre_tokenizer.pretokenizers[0].behavior (only Isolated is supported)"},
      {"/pre_tokenizer",
       R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": " "}, "behavior": "Isolated", "invert": true}, {"type": "ByteLevel"}]})",
       "pre_tokenizer.pretokenizers[0].invert (true is not supported)"},
      {"/pre_tokenizer",
       R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": false}, {"type": "ByteLevel"}]})",
       "pre_tokenizer: the pattern (a (missing closing parenthesis)"},
      {"/post_processor", R"({"type": "BertProcessing"})", "post_processor BertProcessing"},
      {"/post_processor",
       R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]})",
       "post_processor TemplateProcessing: <s> (is not in its special_tokens)"},
      {"/post_processor",
       R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "a"}}, {"Sequence": {"id": "A"}}], "special_tokens": {"a": {"ids": [4]}}})",
       "post_processor TemplateProcessing: a (its id 4 is not a token's)"},
      {"/post_processor",
       R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "a"}}]})",
       "post_processor TemplateProcessing (tokens behind a text are not supported)"},
      {"/post_processor",
       R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"Sequence": {"id": "A"}}]})",
       "post_processor TemplateProcessing (only tokens and one text are supported)"},
      {"/decoder", "null", "decoder (has no type)"},
      {"/decoder", R"({"type": "Metaspace"})", "decoder (only ByteLevel is supported)"},
      {"/model", "[]", "model (is missing)"},
      {"/model/type", R"("Unigram")", "model Unigram (only BPE is supported)"},
      {"/model/dropout", "0.1", "model.dropout"},
      {"/model/unk_token", R"("a")", R"(model.unk_token ("a" is not supported))"},
      {"/model/continuing_subword_prefix", R"("##")", "model.continuing_subword_prefix"},
      {"/model/end_of_word_suffix", R"("</w>")", "model.end_of_word_suffix"},
      {"/model/fuse_unk", "true", "model.fuse_unk"},
      {"/model/byte_fallback", "true", "model.byte_fallback"},
      {"/model/ignore_merges", "0", "model.ignore_merges"},
      {"/model/vocab", "{}", "model.vocab"},
      {"/model/vocab/c", "-1", "model.vocab: c (id -1 is out of range)"},
      {"/model/vocab/c", "4000000000", "model.vocab: c (id 4000000000 is out of range)"},
      {"/model/vocab/c", "2.5", "model.vocab: c (its id is not an integer)"},
      {"/model/vocab/c", "1", "id 1 is taken"},
      {"/model/merges", "{}", "model.merges (is not a list)"},
      {"/model/merges/0", R"("ab")", "model.merges[0]"},
      {"/model/merges/0", R"("a b c")", "model.merges[0]"},
      {"/model/merges/0", R"(["a"])", "model.merges[0] (is not a pair of tokens)"},
      {"/model/merges/0", R"(["a", "x"])", "model.merges[0] (the vocabulary lacks the token x)"},
      {"/model/merges/0", R"(["a", "c"])", "model.merges[0] (the vocabulary lacks the token ac)"},
      {"/added_tokens", "{}", "added_tokens (is not a list)"},
      {"/added_tokens", R"([{"id": 4}])", "added_tokens (a token has no content)"},
      {"/added_tokens", R"([{"id": 4, "content": ""}])", "added_tokens (a token has no content)"},
      {"/added_tokens", R"([{"id": 9, "content": "<x>"}])", "added_tokens: <x> (its id is not 4"},
      {"/added_tokens",
       R"([{"id": 4, "content": "<x>", "lstrip": true}])",
       "added_tokens: <x>.lstrip"},
      {"/added_tokens",
       R"([{"id": 4, "content": "<x>", "rstrip": true}])",
       "added_tokens: <x>.rstrip"},
      {"/added_tokens",
       R"([{"id": 4, "content": "<x>", "single_word": true}])",
       "added_tokens: <x>.single_word"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.pointer, c.value);
    Json file = small_file();
    file[Json::json_pointer(c.pointer)] = Json::parse(c.value);
    CHECK_THROWS_WITH(
        read_text(file.dump()),
        ContainsSubstring("/tokenizer.json: ") && ContainsSubstring(c.message));
  }
}

TEST_CASE("a tokenizer.json that is broken or missing is refused by name") {
  CHECK_THROWS_WITH(
      Tokenizer::read("/nowhere"), ContainsSubstring("tokenizer.json (no such file)"));
  CHECK_THROWS_WITH(read_text("{"), ContainsSubstring("tokenizer.json: not JSON"));
  CHECK_THROWS_WITH(read_text("[]"), ContainsSubstring("tokenizer.json: not a tokenizer"));
  CHECK_THROWS_AS(read_text(std::string(1 << 20, '[')), Error);
  CHECK_THROWS_WITH(read_text("{\"a\": \"\xff\"}"), ContainsSubstring("not JSON"));
  // Deep enough to exhaust the stack of whoever walks through it.
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  CHECK_THROWS_WITH(
      read_text("{\"model\": {\"unk_token\": " + deep + "}}"), ContainsSubstring("nested deeper"));
}
