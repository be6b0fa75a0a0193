/// \file
/// Weights on disk: safetensors files, mapped, never copied, never trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/model/model_config.hpp"

namespace prune_sweep {

enum class StoredType : uint8_t { kBfloat16, kFloat16, kFloat32 };

/// A tensor in mapped memory. The bytes may be unaligned and live as long as their Checkpoint.
struct TensorView {
  StoredType type = StoredType::kBfloat16;
  std::vector<int64_t> shape;
  std::string_view bytes;
};

/// The weights of a model directory: model.safetensors, or the shards of
/// model.safetensors.index.json.
class Checkpoint {
 public:
  /// Maps the files and compares them with what `config` expects: no tensor missing, none surplus
  /// (a stored copy of a tied head is the one exception), shapes right, bytes inside the file and
  /// not overlapping. Throws Error (kBadInput) naming file and tensor; a directory with pickled
  /// weights only is refused with a hint.
  static Checkpoint open(const std::filesystem::path& model_dir, const ModelConfig& config);

  ~Checkpoint();
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;

  /// The tensor of this name. Precondition: one that the configuration has.
  const TensorView& tensor(std::string_view name) const;

  /// Throws Error (kBadInput) naming the first tensor with a NaN or infinity. Reads all weights
  /// once; gives up, and throws nothing, when `stop` is requested.
  void require_finite(const std::stop_token& stop = {}) const;

  /// SHA-256 over the digests of the weight files and config.json; reads all weights once. Empty
  /// when it was given up because `stop` was requested.
  std::string sha256(const std::stop_token& stop = {}) const;

  const std::vector<std::filesystem::path>& files() const { return files_; }
  uint64_t num_bytes() const;

 private:
  class Mapping;
  Checkpoint() = default;

  std::filesystem::path dir_;
  std::vector<std::filesystem::path> files_;
  std::vector<Mapping> mappings_;
  std::map<std::string, TensorView, std::less<>> tensors_;
};

/// A tensor that a model of this configuration has.
struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
};
std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);

}  // namespace prune_sweep
