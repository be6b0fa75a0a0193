#include "prune_sweep/evaluator/score.hpp"

#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/engine/engine.hpp"
#include "prune_sweep/inputs/inputs.hpp"
#include "prune_sweep/text/utf8.hpp"

namespace prune_sweep {

namespace {

namespace po = boost::program_options;
using Json = nlohmann::ordered_json;

constexpr int32_t kDefaultNewTokens = 256;

struct Options {
  std::string model_dir;
  EngineSettings settings;
  std::string drop;       ///< layers, as in a job file
  std::string magnitude;  ///< percent, empty for none
};

Options read_options(int argc, char** argv) {
  Options options;
  std::string dtype;
  std::string device;
  po::options_description known;
  const auto text = [&known](const char* name, std::string& value, const char* if_missing) {
    known.add_options()(name, po::value(&value)->default_value(if_missing));
  };
  text("model", options.model_dir, "");
  text("dtype", dtype, "bfloat16");
  text("device", device, "auto");
  text("drop", options.drop, "");
  text("magnitude", options.magnitude, "");
  try {
    po::variables_map values;
    const auto positional = po::positional_options_description().add("model", 1);
    po::store(
        po::command_line_parser(argc, argv).options(known).positional(positional).run(), values);
    po::notify(values);
  } catch (const po::error& error) {
    bad_input("score", printable(error.what()));
  }
  if (options.model_dir.empty()) bad_input("score", "no model directory given");
  options.settings.dtype = parse_dtype(dtype, "score: --dtype");
  const DeviceKind asked = parse_device(device, "score: --device");
  options.settings.device = parse_device(resolve_device(asked, "score: --device"), "");
  return options;
}

/// The variant that --drop and --magnitude ask for; a dropped layer is not pruned, too.
Variant read_variant(const Options& options, int32_t num_layers) {
  Variant variant{.name = "score", .edits = {}};
  const std::vector<int32_t> dropped = parse_layers(options.drop, num_layers, "score: --drop");
  const Percent percent = options.magnitude.empty()
                              ? Percent{}
                              : Percent::parse(options.magnitude, "score: --magnitude");
  for (int32_t layer = 0; layer < num_layers; ++layer) {
    if (std::binary_search(dropped.begin(), dropped.end(), layer)) {
      variant.edits.push_back({.layer = layer, .kind = EditKind::kDrop, .amount = {}});
    } else if (!options.magnitude.empty()) {
      variant.edits.push_back({.layer = layer, .kind = EditKind::kMagnitude, .amount = percent});
    }
  }
  return variant;
}

/// A JSON integer that fits; nlohmann's own conversion would cut it to size.
int32_t integer(const Json& value, const char* key) {
  const bool fits = value.is_number_integer() && value >= INT32_MIN && value <= INT32_MAX;
  if (!fits) bad_input(key, "an integer is expected");
  return value.get<int32_t>();
}

/// Answers requests, one line each.
class Scorer {
 public:
  explicit Scorer(const Options& options)
      : model_dir_(options.model_dir),
        engine_(options.model_dir, options.settings),
        variants_{read_variant(options, engine_.config().num_layers)} {}

  Json answer(const Json& request) {
    if (request.contains("context")) return score_continuation(request);
    if (request.contains("ids")) return list_next_tokens(request);
    if (request.contains("prompt")) return generate(request);
    bad_input("request", "none of context, ids and prompt is there");
  }

 private:
  /// Read when first needed: requests with ids do without.
  const Tokenizer& tokenizer() {
    if (!tokenizer_) tokenizer_.emplace(Tokenizer::read(model_dir_));
    return *tokenizer_;
  }

  Json score_continuation(const Json& request) {
    auto context = request.at("context").get<std::string>();
    auto continuation = request.at("continuation").get<std::string>();
    // White space at the context's end belongs to the continuation.
    const std::string_view stripped = strip(context);
    const size_t end =
        stripped.empty() ? 0
                         : static_cast<size_t>(stripped.data() + stripped.size() - context.data());
    continuation.insert(0, context, end);
    context.resize(end);

    LoglikRequest asked{tokenizer().encode(context), {}};
    const std::vector<int32_t> whole = tokenizer().encode(context + continuation);
    const size_t start = std::min(asked.context.size(), whole.size());
    asked.continuations.emplace_back(
        whole.begin() + static_cast<std::ptrdiff_t>(start), whole.end());
    if (asked.context.empty()) asked.context.push_back(prefix_token());
    const ContinuationScore score = engine_.loglik(variants_, {&asked, 1}).front().front().front();
    if (std::isnan(score.loglik)) bad_input("log-likelihood", "it is not a finite number");
    return {
        {"loglik", score.loglik},
        {"greedy", score.greedy},
        {"tokens", asked.continuations.front().size()}};
  }

  /// What an empty context is replaced by.
  int32_t prefix_token() const {
    const std::vector<int32_t>& eos_ids = engine_.config().eos_ids;
    if (eos_ids.empty())
      bad_input("context", "empty, and the model has no eos_token_id to stand for it");
    return eos_ids.front();
  }

  Json list_next_tokens(const Json& request) {
    std::vector<int32_t> ids;
    for (const Json& id : request.at("ids")) ids.push_back(integer(id, "ids"));
    const int32_t count = integer(request.at("top"), "top");
    const auto best = engine_.next_token(variants_.front(), ids, count);
    return {{"logprobs", Json(best)}};
  }

  Json generate(const Json& request) {
    const GenerationRequest asked{
        tokenizer().encode(request.at("prompt").get<std::string>()),
        integer(request.value("max_new_tokens", Json(kDefaultNewTokens)), "max_new_tokens"),
        request.value("until", std::vector<std::string>{}),
        {}};
    const Generation made = engine_.generate(variants_, {&asked, 1}, tokenizer()).front().front();
    return {{"text", made.text}, {"ids", made.ids}, {"stop", stop_name(made.stop)}};
  }

  static const char* stop_name(StopReason stop) {
    switch (stop) {
      case StopReason::kEos:
        return "eos";
      case StopReason::kUntil:
        return "until";
      case StopReason::kLength:
        return "length";
      case StopReason::kNotFinite:
        return "not finite";
    }
    return "";
  }

  std::string model_dir_;
  Engine engine_;
  std::vector<Variant> variants_;  // one
  std::optional<Tokenizer> tokenizer_;
};

}  // namespace

int run_score(int argc, char** argv) {
  Scorer scorer(read_options(argc, argv));
  ExitStatus status = ExitStatus::kComplete;
  std::string line;
  for (int64_t number = 1; std::getline(std::cin, line); ++number) {
    Json answer;
    const auto refuse = [&](const std::string& why) {
      answer = {{"error", "line " + std::to_string(number) + ": " + why}};
      status = ExitStatus::kBadInput;
    };
    try {
      answer = scorer.answer(Json::parse(line));
    } catch (const Error& error) {
      if (error.status() != ExitStatus::kBadInput) throw;
      refuse(error.what());
    } catch (const Json::exception& error) {
      refuse(printable(error.what(), 160));
    }
    std::cout << answer.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }
  return static_cast<int>(status);
}

}  // namespace prune_sweep
