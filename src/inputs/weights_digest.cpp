#include "prune_sweep/inputs/weights_digest.hpp"

#include <utility>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/model/checkpoint.hpp"

namespace prune_sweep {

namespace {

std::string look_through(
    const std::filesystem::path& model_dir,
    const ModelConfig& config,
    WeightsCheck check,
    std::stop_source stop) {
  if (check == WeightsCheck::kNone) return "";
  const Checkpoint checkpoint = Checkpoint::open(model_dir, config);
  // Both read every byte, and nothing can begin before they are through.
  std::future<std::string> digest;
  if (check == WeightsCheck::kDigest) {
    digest = std::async(std::launch::async, [&] { return checkpoint.sha256(stop.get_token()); });
  }
  try {
    checkpoint.require_finite(stop.get_token());
  } catch (const Error&) {
    stop.request_stop();  // or the digest would be waited for
    throw;
  }
  return digest.valid() ? digest.get() : "";
}

}  // namespace

WeightsDigest::WeightsDigest(
    std::filesystem::path model_dir, ModelConfig config, WeightsCheck check)
    : result_(std::async(
          std::launch::async,
          look_through,
          std::move(model_dir),
          std::move(config),
          check,
          stop_)) {}

WeightsDigest::~WeightsDigest() { stop_.request_stop(); }

}  // namespace prune_sweep
