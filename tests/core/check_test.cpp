#include "prune_sweep/core/check.hpp"

#include <cerrno>
#include <vector>

#include "core/message_of.hpp"

using namespace prune_sweep;

TEST_CASE("a message reads problem (why) suggestion, and missing parts leave no trace") {
  struct Row {
    std::string problem, why, suggestion, expected;
  };
  const std::vector<Row> rows{
      {"a.ini: x=1", "must be 2", "Write 2.", "a.ini: x=1 (must be 2) Write 2."},
      {"a.ini: x=1", "must be 2", "", "a.ini: x=1 (must be 2)"},
      {"a.ini: x=1", "", "Write 2.", "a.ini: x=1 Write 2."},
      {"a.ini: x=1", "", "", "a.ini: x=1"},
  };
  for (const Row& row : rows) {
    CHECK(refusal_of([&] { bad_input(row.problem, row.why, row.suggestion); }) == row.expected);
    CHECK(Error(ExitStatus::kDisk, row.problem, row.why, row.suggestion).what() == row.expected);
  }
}

TEST_CASE("require throws only what does not hold") {
  CHECK_NOTHROW(require(true, "never said"));
  CHECK(refusal_of([] { require(false, "p", "w", "s"); }) == "p (w) s");
}

TEST_CASE("a disk error names path, action and the system's reason") {
  const Error error = error_of([] { disk_error("append", "/data/run/journal-0001.bin", ENOSPC); });
  CHECK(error.status() == ExitStatus::kDisk);
  CHECK(
      std::string(error.what()) ==
      "/data/run/journal-0001.bin: cannot append (No space left on device)");
}

TEST_CASE("names are listed with commas") {
  CHECK(listed(std::vector<std::string>{}) == "");
  CHECK(listed(std::vector<std::string>{"a"}) == "a");
  CHECK(listed(std::vector<std::string_view>{"a", "b", "c"}) == "a, b, c");
}

TEST_CASE("foreign text is one printable line of bounded length") {
  struct Row {
    std::string text;
    size_t max_bytes;
    std::string expected;
  };
  const std::vector<Row> rows{
      {"", 80, ""},
      {"plain text, 50 %", 80, "plain text, 50 %"},
      {"two\nlines\r\n", 80, R"(two\x0alines\x0d\x0a)"},
      {std::string("nul\0byte", 8), 80, R"(nul\x00byte)"},
      {"\x1b[31mred\x7f", 80, R"(\x1b[31mred\x7f)"},
      {"tab\there", 80, R"(tab\x09here)"},
      {"caf\xc3\xa9 \xe4\xb8\xad", 80, "caf\xc3\xa9 \xe4\xb8\xad"},
      {"12345678", 8, "12345678"},
      {"123456789", 8, "12345678..."},
      // A cut never leaves half a character: é is c3 a9, 中 is e4 b8 ad, 😀 is f0 9f 98 80.
      {"1234567\xc3\xa9.", 8, "1234567..."},
      {"123456\xc3\xa9.", 8, "123456\xc3\xa9..."},
      {"123456\xe4\xb8\xad.", 8, "123456..."},
      {"12345\xf0\x9f\x98\x80.", 8, "12345..."},
      {"1234\xf0\x9f\x98\x80.", 8, "1234\xf0\x9f\x98\x80..."},
  };
  for (const Row& row : rows) {
    CAPTURE(row.expected, row.max_bytes);
    CHECK(printable(row.text, row.max_bytes) == row.expected);
  }
  CHECK(printable(std::string(1000, 'x')).size() == 83);
}
