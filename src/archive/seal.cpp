#include "prune_sweep/archive/seal.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/digest.hpp"

namespace prune_sweep {

namespace {

constexpr std::string_view kMark = "prune-sweep sha256: ";
constexpr size_t kSealBytes = kMark.size() + 64 + 1;

}  // namespace

std::string seal_of(std::string_view bytes) {
  return std::string(kMark) + sha256_hex(bytes) + "\n";
}

std::string require_sealed(const std::filesystem::path& path) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error) bad_input(path.string() + ": cannot be read", error.message());
  std::ifstream file(path, std::ios::binary);
  Sha256 digest;
  std::array<char, 1 << 16> chunk{};
  for (uint64_t left = size < kSealBytes ? 0 : size - kSealBytes; file && left > 0;) {
    file.read(chunk.data(), static_cast<std::streamsize>(std::min<uint64_t>(left, chunk.size())));
    digest.update({chunk.data(), static_cast<size_t>(file.gcount())});
    left -= static_cast<uint64_t>(file.gcount());
  }
  std::array<char, kSealBytes> bytes{};
  file.read(bytes.data(), bytes.size());
  if (!file && !file.eof()) bad_input(path.string() + ": cannot be read", std::strerror(errno));
  const std::string_view seal(bytes.data(), static_cast<size_t>(file.gcount()));
  if (!seal.starts_with(kMark) || !seal.ends_with('\n')) {
    bad_input(path.string(), "altered, cut short or not an archive: its seal is not at its end");
  }
  const std::string expected = digest.hex();
  if (seal != std::string(kMark) + expected + "\n") {
    bad_input(path.string(), "altered: its bytes do not have the SHA-256 of its seal");
  }
  return expected;
}

}  // namespace prune_sweep
