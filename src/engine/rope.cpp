#include "engine/rope.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace prune_sweep {

namespace {

float llama3_frequency(float frequency, const RopeConfig& config) {
  const auto factor = static_cast<float>(config.factor);
  const auto low = static_cast<float>(config.low_frequency_factor);
  const auto high = static_cast<float>(config.high_frequency_factor);
  const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
  const float turns = static_cast<float>(config.original_max_positions) / wavelength;
  if (turns < low) return frequency / factor;
  if (turns > high) return frequency;
  const float kept = (turns - low) / (high - low);
  return (1 - kept) * frequency / factor + kept * frequency;
}

float scaled(float frequency, const RopeConfig& config) {
  switch (config.scaling) {
    case RopeScaling::kNone:
      return frequency;
    case RopeScaling::kLinear:
      return frequency / static_cast<float>(config.factor);
    case RopeScaling::kLlama3:
      return llama3_frequency(frequency, config);
  }
  return frequency;
}

}  // namespace

std::vector<float> rope_frequencies(const RopeConfig& config, int32_t head_dim) {
  std::vector<float> frequencies;
  for (int32_t i = 0; i < head_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(head_dim);
    const float frequency = 1.0F / std::pow(static_cast<float>(config.theta), exponent);
    frequencies.push_back(scaled(frequency, config));
  }
  return frequencies;
}

Rope rope_angles(const std::vector<float>& frequencies, int64_t num_positions) {
  const auto half = static_cast<int64_t>(frequencies.size());
  Rope angles{at::empty({num_positions, half}), at::empty({num_positions, half})};
  float* cos = angles.cos.data_ptr<float>();
  float* sin = angles.sin.data_ptr<float>();
  for (int64_t position = 0; position < num_positions; ++position) {
    for (const float frequency : frequencies) {
      const double angle = static_cast<float>(position) * frequency;
      *cos++ = static_cast<float>(std::cos(angle));
      *sin++ = static_cast<float>(std::sin(angle));
    }
  }
  return angles;
}

}  // namespace prune_sweep
