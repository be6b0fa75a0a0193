// The look at the end of a text beside a look at all of it.

#include "engine/stop_rule.hpp"

#include <random>

#include "catch.hpp"

using namespace prune_sweep;

namespace {

const std::string kDataDir = PRUNE_SWEEP_DATA_DIR;

/// Asks after every token, as generation does; ends with the first stop.
void check_token_by_token(
    const Tokenizer& tokenizer,
    const std::vector<int32_t>& ids,
    const std::vector<std::string>& until) {
  std::vector<int32_t> so_far;
  for (const int32_t id : ids) {
    so_far.push_back(id);
    const bool is_stopped = find_stop(text_of(so_far, tokenizer), until) != std::string::npos;
    CAPTURE(so_far.size(), text_of(so_far, tokenizer));
    CHECK(may_end_with_stop(so_far, until, tokenizer) == is_stopped);
    if (is_stopped) return;
  }
}

}  // namespace

TEST_CASE("the end of a text tells whether a stop string has come") {
  const Tokenizer tokenizer = Tokenizer::read(kDataDir + "/qwen3-0.6b");
  const std::vector<std::string> until{"Question:", "</s>", "\u00e4\U0001f600b", "\n\n"};
  const std::string filler(200, 'x');
  for (const std::string& text :
       {std::string("Answer: 4</s> and more"),
        filler + " no end in sight",
        filler + "Quest" + filler + "Question" + filler + " Question: what",
        filler + "\u00e4\U0001f600 \u00e4\U0001f600b behind",
        std::string("a\nb\n\nc"),
        std::string(
            "\U0001f600\U0001f600\U0001f600\U0001f600\U0001f600\U0001f600\U0001f600</s>")}) {
    check_token_by_token(tokenizer, tokenizer.encode_plain(text), until);
  }
}

TEST_CASE("single bytes, special tokens and unknown ids do not hide a stop string") {
  const Tokenizer tokenizer = Tokenizer::read(kDataDir + "/qwen3-0.6b");
  const std::vector<int32_t> stop = tokenizer.encode_plain("Question:");
  std::mt19937 random(7);
  for (int round = 0; round < 30; ++round) {
    std::vector<int32_t> ids;
    // Mostly the first ids, which are single bytes, many of them parts of characters.
    for (int i = 0; i < 60; ++i) {
      const uint32_t kind = random() % 10;
      ids.push_back(static_cast<int32_t>(
          kind == 0   ? 151643 + random() % 20
          : kind == 1 ? 200'000
          : kind == 2 ? random() % 150'000
                      : random() % 256));
      if (i % 20 == 19) ids.insert(ids.end(), stop.begin(), stop.end() - (i == 59 ? 0 : 1));
    }
    check_token_by_token(tokenizer, ids, {"Question:", "\U0001f600"});
  }
}

TEST_CASE("without stop strings nothing stops") {
  const Tokenizer tokenizer = Tokenizer::read(kDataDir + "/qwen3-0.6b");
  const std::vector<int32_t> ids = tokenizer.encode_plain("Question: any");
  CHECK_FALSE(may_end_with_stop(ids, {}, tokenizer));
  CHECK_FALSE(may_end_with_stop(ids, {""}, tokenizer));
  CHECK_FALSE(may_end_with_stop({}, {"Question:"}, tokenizer));
}
