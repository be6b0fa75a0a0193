#include "prune_sweep/text/utf8.hpp"

#include "catch.hpp"
#include "prune_sweep/text/reader.hpp"
#include "reference_values.hpp"

using namespace prune_sweep;

TEST_CASE("bytes that are not UTF-8 are replaced as CPython replaces them") {
  for (const Json& row : reference("utf8.jsonl")) {
    const std::string bytes = from_hex(row[0].get<std::string>());
    CAPTURE(row[0]);
    CHECK(replace_invalid_utf8(bytes) == row[1].get<std::string>());
    CHECK((find_invalid_utf8(bytes) == std::string::npos) == (bytes == row[1].get<std::string>()));
  }
}

TEST_CASE("the first byte that is not UTF-8 is found") {
  CHECK(find_invalid_utf8("") == std::string::npos);
  CHECK(find_invalid_utf8("caf\xc3\xa9") == std::string::npos);
  CHECK(find_invalid_utf8("caf\xe9") == 3);
  CHECK(find_invalid_utf8("ab\xe2\x82") == 2);
  CHECK(find_invalid_utf8("\xed\xa0\x80") == 0);  // a surrogate
}

TEST_CASE("strip takes away what Python's str.strip takes away, and nothing else") {
  const Json removed = reference("strip.jsonl")[0];
  REQUIRE(removed.size() == 29);
  std::string spaces;
  for (const Json& code : removed) spaces += utf8_of(code.get<int32_t>());
  CHECK(strip(spaces).empty());
  const std::string text = "a" + spaces + "b";
  CHECK(strip(spaces + text + spaces) == text);
  for (const int32_t code : {0x00, 0x08, 0x1b, 0x180e, 0x200b, 0x2060, 0xfeff, 0x1f600}) {
    CAPTURE(code);
    CHECK(strip(" " + utf8_of(code) + " ") == utf8_of(code));
  }
}

TEST_CASE("text is composed to normalization form C") {
  CHECK(to_nfc("") == "");
  CHECK(to_nfc("plain\r\n") == "plain\r\n");
  CHECK(to_nfc("e\xcc\x81") == "\xc3\xa9");                                 // e + acute
  CHECK(to_nfc("\xe2\x84\xab") == "\xc3\x85");                              // angstrom sign
  CHECK(to_nfc("\xef\xac\x81") == "\xef\xac\x81");                          // the ligature fi stays
  CHECK(to_nfc("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8") == "\xea\xb0\x81");  // Hangul
  CHECK(to_nfc(std::string("\0\xc3\xa9", 3)) == std::string("\0\xc3\xa9", 3));
}
