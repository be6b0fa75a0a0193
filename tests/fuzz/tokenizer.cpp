#include "prune_sweep/text/tokenizer.hpp"

#include "fuzz/reader.hpp"

using namespace prune_sweep;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz(data, size, [](std::string_view text) {
    const Tokenizer tokenizer = Tokenizer::parse(text, "tokenizer.json");
    for (const std::string_view given : {"abc ab  12\n\tcab'll", "<x>e\u0301\u00e9 \u65e5\xff"}) {
      const std::vector<int32_t> ids = tokenizer.encode(given);
      for (const int32_t id : ids) expect(tokenizer.has_token(id));
      tokenizer.decode(ids, SpecialTokens::kSkip);
    }
  });
}
