/// \file
/// Looks through a model's weights while everything else is read.
#pragma once

#include <filesystem>
#include <future>
#include <stop_token>
#include <string>

#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

/// How much of the weights is looked at.
enum class WeightsCheck : uint8_t {
  kNone,    ///< none: `plan` works without weights
  kFinite,  ///< names, shapes, sizes, and that all values are finite
  kDigest,  ///< and their SHA-256, which every record's key contains
};

class WeightsDigest {
 public:
  /// Begins at once, in threads of its own.
  WeightsDigest(std::filesystem::path model_dir, ModelConfig config, WeightsCheck check);
  /// Gives up what is not finished.
  ~WeightsDigest();
  WeightsDigest(const WeightsDigest&) = delete;
  WeightsDigest& operator=(const WeightsDigest&) = delete;

  /// Waits for the end: the checkpoint's SHA-256, empty where it was not asked for. Throws Error
  /// (kBadInput) naming file and tensor for what cannot be used.
  const std::string& get() const { return result_.get(); }

 private:
  std::stop_source stop_;
  std::shared_future<std::string> result_;
};

}  // namespace prune_sweep
