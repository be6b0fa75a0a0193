#include "benchmarks/harness_samples.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include "prune_sweep/core/digest.hpp"

namespace prune_sweep {

namespace {

using Json = nlohmann::ordered_json;

std::string shortest(double value, std::chars_format format) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value, format).ptr;
  return {text.data(), end};
}

}  // namespace

std::string python_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // repr() writes an exponent below 1e-4 and from 1e16 on.
  std::string text = shortest(value, std::chars_format::scientific);
  const int exponent = std::stoi(text.substr(text.find('e') + 1));
  if (exponent < -4 || exponent >= 16) return text;
  text = shortest(value, std::chars_format::fixed);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::string python_json(const Json& value) {
  std::string text;
  const auto append = [&](const std::string& item) {
    if (text.size() > 1) text += ", ";
    text += item;
  };
  if (value.is_object()) {
    text = "{";
    for (const auto& [key, member] : value.items()) {
      append(python_json(key) + ": " + python_json(member));
    }
    return text + "}";
  }
  if (value.is_array()) {
    text = "[";
    for (const Json& item : value) append(python_json(item));
    return text + "]";
  }
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string harness_sample_line(const Question& question, const HarnessSample& sample) {
  const Json doc = Json::parse(question.doc_json);
  Json arguments = Json::object();
  for (const Json& request : sample.requests) {
    arguments["gen_args_" + std::to_string(arguments.size())] = {
        {"arg_0", question.prompt}, {"arg_1", request}};
  }
  return python_json(Json{
      {"doc_id", question.doc_id},
      {"doc", doc},
      {"target", question.target},
      {"arguments", arguments},
      {"resps", sample.responses},
      {"filtered_resps", sample.filtered_responses},
      {"filter", sample.filter},
      {"metrics", Json::array({sample.metric})},
      // dump(2) is json.dumps(doc, indent=2, ensure_ascii=False)
      {"doc_hash", sha256_hex(doc.dump(2))},
      {"prompt_hash", sha256_hex(question.prompt)},
      {"target_hash", sha256_hex(question.target)},
      {sample.metric, sample.value}});
}

}  // namespace prune_sweep
