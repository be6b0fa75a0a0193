#include "prune_sweep/core/digest.hpp"

#include "core/message_of.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

TEST_CASE("SHA-256 gives the values of FIPS 180-4's examples") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(
      sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(
      sha256_hex(std::string(1'000'000, 'a')) ==
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on how the bytes are cut") {
  const std::string bytes(300, 'a');
  for (const size_t cut :
       {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, bytes.size()}) {
    CAPTURE(cut);
    Sha256 digest;
    digest.update(std::string_view(bytes).substr(0, cut));
    Sha256 moved = std::move(digest);
    CHECK(moved.update(std::string_view(bytes).substr(cut)).hex() == sha256_hex(bytes));
  }
}

// python3: sha256(b"".join(struct.pack("<Q", len(x)) + x for x in fields)).hexdigest()
TEST_CASE("fields are hashed with their lengths, so that their borders count") {
  CHECK(
      Sha256().field("ab").field("c").hex() ==
      "43ee655579de01ca739b3f95c1c2d3f46d353b2c0df818064ea594506cdb2617");
  CHECK(
      Sha256().field("a").field("bc").hex() ==
      "9a8acca1b6c6c0befd3fbc756aed625da998c998f7252e738c4ef061906b9b21");
}

TEST_CASE("the digest of a file is that of its bytes") {
  const TempDir dir;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{1} << 20, (size_t{2} << 20) + 7}) {
    CAPTURE(size);
    const std::string bytes(size, 'z');
    dir.write("file", bytes);
    CHECK(sha256_file(dir.path() / "file") == sha256_hex(bytes));
  }
}

TEST_CASE("a file that cannot be read is refused by name") {
  const TempDir dir;
  const auto missing = dir.path() / "missing";
  CHECK_THAT(
      refusal_of([&] { sha256_file(missing); }),
      ContainsSubstring(missing.string()) && ContainsSubstring("No such file"));
  CHECK_THAT(refusal_of([&] { sha256_file(dir.path()); }), ContainsSubstring(dir.path().string()));
}

TEST_CASE("CRC-32C gives the values of RFC 3720, B.4, and the check value of its catalogue") {
  std::string ascending;
  for (char i = 0; i < 32; ++i) ascending += i;
  const std::string descending(ascending.rbegin(), ascending.rend());
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xe3069283);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
  CHECK(crc32c(ascending) == 0x46dd794e);
  CHECK(crc32c(descending) == 0x113fdb5c);
}
