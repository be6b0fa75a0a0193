/// \file
/// SHA-256 for what identifies data, CRC-32C for what guards bytes on their way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace prune_sweep {

/// Incremental SHA-256.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  Sha256& update(std::string_view bytes);
  /// Adds a length-prefixed field, so that ("ab", "c") and ("a", "bc") differ.
  Sha256& field(std::string_view bytes);
  /// Lower-case hex, 64 characters. Ends the computation.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view bytes);

/// Digest of a file's content. Throws Error (kBadInput) naming the file when it cannot be read.
std::string sha256_file(const std::filesystem::path& path);

/// CRC-32C (Castagnoli), the polynomial of iSCSI (RFC 3720) and ext4: crc32c("123456789") =
/// 0xe3069283.
uint32_t crc32c(std::string_view bytes);

}  // namespace prune_sweep
