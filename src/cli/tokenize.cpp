#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/options.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/text/tokenizer.hpp"

namespace prune_sweep {

namespace {

nlohmann::json answer(const Tokenizer& tokenizer, const nlohmann::json& request) {
  if (request.contains("text")) {
    return {{"ids", tokenizer.encode_plain(request.at("text").get<std::string>())}};
  }
  const auto ids = request.at("ids").get<std::vector<int32_t>>();
  return {{"text", tokenizer.decode(ids, SpecialTokens::kKeep)}};
}

}  // namespace

int command_tokenize(const CommandLine& line) {
  line.require_only({}, 1);
  if (line.positional.empty()) bad_input("tokenize", "needs a model directory");
  const Tokenizer tokenizer = Tokenizer::read(line.positional.front());
  std::string text;
  for (int64_t number = 1; std::getline(std::cin, text); ++number) {
    try {
      std::cout << answer(tokenizer, nlohmann::json::parse(text)).dump() << std::endl;
    } catch (const nlohmann::json::exception& error) {
      bad_input(
          "standard input:" + std::to_string(number),
          printable(error.what(), 200),
          R"(A line is {"text": "..."} or {"ids": [...]}.)");
    }
  }
  return 0;
}

}  // namespace prune_sweep
