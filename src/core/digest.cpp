#include "prune_sweep/core/digest.hpp"

#include <openssl/evp.h>

#include <array>
#include <boost/crc.hpp>
#include <cstring>
#include <fstream>
#include <vector>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

struct ContextFree {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

void openssl_check(int result) {
  if (result != 1) throw Error(ExitStatus::kInternal, "SHA-256", "OpenSSL refused the digest");
}

}  // namespace

struct Sha256::State {
  std::unique_ptr<EVP_MD_CTX, ContextFree> context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  openssl_check(EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr));
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::update(std::string_view bytes) {
  openssl_check(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
  return *this;
}

Sha256& Sha256::field(std::string_view bytes) {
  const uint64_t length = bytes.size();
  std::array<char, sizeof length> prefix{};
  std::memcpy(prefix.data(), &length, sizeof length);
  return update({prefix.data(), prefix.size()}).update(bytes);
}

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest{};
  openssl_check(EVP_DigestFinal_ex(state_->context.get(), digest.data(), nullptr));
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string sha256_hex(std::string_view bytes) { return Sha256().update(bytes).hex(); }

std::string sha256_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) bad_input(path.string() + ": cannot be opened", std::strerror(errno));
  Sha256 digest;
  std::vector<char> buffer(1 << 20);
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    digest.update({buffer.data(), static_cast<size_t>(file.gcount())});
  }
  if (file.bad()) bad_input(path.string() + ": cannot be read", std::strerror(errno));
  return digest.hex();
}

uint32_t crc32c(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

}  // namespace prune_sweep
