#include "model/json_keys.hpp"

#include <algorithm>
#include <cmath>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/json_file.hpp"

namespace prune_sweep {

using nlohmann::json;

const json& JsonKeys::value(const char* key) const {
  if (!has(key)) bad_input(source_ + ": " + key, "the key is missing");
  return object_.at(key);
}

int32_t JsonKeys::integer(const char* key, int32_t min, int32_t max) const {
  const json& found = value(key);
  if (!found.is_number_integer()) refuse(key, "must be an integer");
  const auto number = found.get<int64_t>();
  if ((found.is_number_unsigned() && found.get<uint64_t>() > INT32_MAX) || number < min ||
      number > max) {
    refuse(key, "must be in [" + std::to_string(min) + ", " + std::to_string(max) + "]");
  }
  return static_cast<int32_t>(number);
}

double JsonKeys::number(const char* key, double above) const {
  const json& found = value(key);
  if (!found.is_number()) refuse(key, "must be a number");
  const auto number = found.get<double>();
  if (!std::isfinite(number) || number <= above) {
    refuse(key, "must be above " + json(above).dump());
  }
  return number;
}

bool JsonKeys::boolean(const char* key) const {
  if (!value(key).is_boolean()) refuse(key, "must be true or false");
  return value(key).get<bool>();
}

std::string JsonKeys::text(const char* key) const {
  if (!value(key).is_string()) refuse(key, "must be a text");
  return value(key).get<std::string>();
}

JsonKeys JsonKeys::object(const char* key) const {
  if (!value(key).is_object()) refuse(key, "must be an object");
  return {source_ + ": " + key, value(key)};
}

void JsonKeys::require_only(std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : object_.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      refuse(key.c_str(), "changes the forward pass in a way that is not supported");
    }
  }
}

void JsonKeys::refuse(
    const char* key, const std::string& why, const std::string& suggestion) const {
  // A value that stands for a missing key can be as wrong as one that is there.
  const std::string value = has(key) ? "=" + brief(object_.at(key)) : "";
  bad_input(source_ + ": " + printable(key) + value, why, suggestion);
}

}  // namespace prune_sweep
