#include "model/rope_config.hpp"

#include <array>
#include <optional>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

/// The keys of transformers' modeling_rope_utils.py for one type of scaling.
struct ScalingType {
  std::string_view name;
  void (*read)(const JsonKeys& rope, const JsonKeys& config, RopeConfig& result);
};

void read_unscaled(const JsonKeys& rope, const JsonKeys&, RopeConfig&) {
  rope.require_only({"rope_type", "type", "rope_theta", "partial_rotary_factor"});
}

void read_linear(const JsonKeys& rope, const JsonKeys&, RopeConfig& result) {
  rope.require_only({"rope_type", "type", "rope_theta", "partial_rotary_factor", "factor"});
  result.scaling = RopeScaling::kLinear;
  result.factor = rope.number("factor", 0);
}

void read_llama3(const JsonKeys& rope, const JsonKeys& config, RopeConfig& result) {
  constexpr const char* kOriginal = "original_max_position_embeddings";
  rope.require_only(
      {"rope_type",
       "type",
       "rope_theta",
       "partial_rotary_factor",
       "factor",
       "low_freq_factor",
       "high_freq_factor",
       kOriginal});
  result.scaling = RopeScaling::kLlama3;
  result.factor = rope.number("factor", 0);
  result.low_frequency_factor = rope.number("low_freq_factor", 0);
  result.high_frequency_factor = rope.number("high_freq_factor", 0);
  if (result.high_frequency_factor <= result.low_frequency_factor) {
    rope.refuse("high_freq_factor", "must be above low_freq_factor");
  }
  // transformers prefers the one outside.
  const JsonKeys& holder = config.has(kOriginal) ? config : rope;
  result.original_max_positions = holder.integer(kOriginal, 1, 1 << 30);
}

constexpr std::array kScalingTypes{
    ScalingType{"default", read_unscaled},
    ScalingType{"linear", read_linear},
    ScalingType{"llama3", read_llama3},
};

void read_scaling(const JsonKeys& rope, const JsonKeys& config, RopeConfig& result) {
  const char* key = rope.has("rope_type") ? "rope_type" : "type";
  const std::string type = rope.has(key) ? rope.text(key) : "default";
  std::vector<std::string_view> known;
  for (const ScalingType& row : kScalingTypes) {
    if (row.name == type) return row.read(rope, config, result);
    known.push_back(row.name);
  }
  rope.refuse(key, "this RoPE scaling is not supported", "Supported: " + listed(known) + ".");
}

/// What transformers reads: a rope_scaling that says something goes before rope_parameters.
std::optional<JsonKeys> find_rope_object(const JsonKeys& config) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (config.has(key) && !config.object(key).is_empty()) return config.object(key);
  }
  return {};
}

}  // namespace

RopeConfig read_rope_config(const JsonKeys& config) {
  RopeConfig result;
  const std::optional<JsonKeys> rope = find_rope_object(config);
  const bool inside = rope && rope->names("rope_theta");
  const bool outside = config.names("rope_theta");
  if (outside) result.theta = config.number("rope_theta", 0);
  if (inside) result.theta = rope->number("rope_theta", 0);
  if (inside && outside && result.theta != config.number("rope_theta", 0)) {
    config.refuse("rope_theta", "differs from the one in rope_parameters");
  }
  if (rope) {
    if (rope->has("partial_rotary_factor") && rope->value("partial_rotary_factor") != 1.0) {
      rope->refuse("partial_rotary_factor", "only 1 is supported");
    }
    read_scaling(*rope, config, result);
  }
  return result;
}

}  // namespace prune_sweep
