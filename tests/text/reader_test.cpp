#include "prune_sweep/text/reader.hpp"

#include "catch.hpp"
#include "prune_sweep/core/check.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace {

using Fields = std::vector<std::string>;

std::vector<Fields> fields_of(std::string_view text, size_t num_columns) {
  std::vector<Fields> rows;
  for (const CsvRow& row : parse_csv(text, "x.csv", num_columns)) rows.push_back(row.fields);
  return rows;
}

}  // namespace

TEST_CASE("CSV of every shape that RFC 4180 allows is read") {
  struct Case {
    std::string text;
    std::vector<Fields> rows;
  };
  const std::vector<Case> cases{
      {"", {}},
      {"a,b\n", {{"a", "b"}}},
      {"a,b", {{"a", "b"}}},
      {"a,b\nc,d", {{"a", "b"}, {"c", "d"}}},
      {"a,b\r\nc,d\r\n", {{"a", "b"}, {"c", "d"}}},
      {",\n", {{"", ""}}},
      {"\"\",", {{"", ""}}},
      {"\"a,b\",c\n", {{"a,b", "c"}}},
      {"\"say \"\"yes\"\"\",c\n", {{"say \"yes\"", "c"}}},
      {"\"\"\"\",c\n", {{"\"", "c"}}},
      {"\"two\nlines\",\"and\r\nmore\"\n", {{"two\nlines", "and\r\nmore"}}},
      {" a , \tb\n", {{" a ", " \tb"}}},
      {"\xef\xbb\xbf"
       "a,b\n",
       {{"a", "b"}}},
      {"\xef\xbb\xbf\"a\",b\n", {{"a", "b"}}},
      {"caf\xc3\xa9,\xf0\x9f\x98\x80\n", {{"caf\xc3\xa9", "\xf0\x9f\x98\x80"}}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(fields_of(c.text, 2) == c.rows);
  }
}

TEST_CASE("a row of CSV knows the line on which it begins") {
  const auto rows = parse_csv("a,\"1\n2\n3\"\nb,\"\n\"\r\nc,d\n", "x.csv", 2);
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].line == 1);
  CHECK(rows[1].line == 4);
  CHECK(rows[2].line == 6);
}

TEST_CASE("broken CSV is refused with file and line") {
  struct Case {
    std::string text;
    std::string message;
  };
  const std::vector<Case> cases{
      {"a,b\nc\n", "x.csv:2: the row has 1 columns (2 are expected)"},
      {"a,b\n\n", "x.csv:2: the row has 1 columns"},
      {"a,b,c\n", "x.csv:1: the row has 3 columns"},
      {"a,\"1\n2\"\nc\n", "x.csv:3: the row has 1 columns"},
      {"a,b\"c\n", "x.csv:1: not CSV (a quote inside an unquoted field)"},
      {"a,b\n c,\"d\"e\n", "x.csv:2: not CSV (text after the closing quote of a field)"},
      {"a,b\nc,\"d\n\n\n", "x.csv:2: not CSV (a quoted field that is never closed)"},
      {"a,\"", "x.csv:1: not CSV (a quoted field that is never closed)"},
      {"a,b\rc,d\n", "x.csv:1: not CSV (a carriage return without a line feed)"},
      {"a,b\n\"c\n\xff\",d\n", "x.csv:3: byte 7 of the file is not UTF-8"},
      {"a,b\n\xe9,d\n", "x.csv:2: byte 4 of the file is not UTF-8"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK_THROWS_WITH(parse_csv(c.text, "x.csv", 2), ContainsSubstring(c.message));
  }
}

TEST_CASE("JSON Lines are read with their line numbers") {
  const auto lines =
      parse_json_lines("\xef\xbb\xbf{\"b\": 1, \"a\": \"\\n\"}\n{}\r\n{\"c\":[]}", "x.jsonl");
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].object.dump() == R"({"a":"\n","b":1})");
  CHECK(lines[1].object.empty());
  CHECK(lines[2].line == 3);
  CHECK(parse_json_lines("", "x.jsonl").empty());
}

TEST_CASE("broken JSON Lines are refused with file and line") {
  struct Case {
    std::string text;
    std::string message;
  };
  const std::vector<Case> cases{
      {"{}\n{\"a\":\n", "x.jsonl:2: not JSON"},
      {"{}\n\n{}\n", "x.jsonl:2: not JSON"},
      {"{} {}\n", "x.jsonl:1: not JSON"},
      {"{}\n[1]\n", "x.jsonl:2: not a JSON object"},
      {"{}\n{}\n{\"a\":\"\xff\"}", "x.jsonl:3: byte 12 of the file is not UTF-8"},
      {"{\"a\":\"\\ud800\"}\n", "x.jsonl:1: not JSON"},
      {std::string(1 << 20, '['), "x.jsonl:1: not JSON"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text.substr(0, 80));
    CHECK_THROWS_WITH(parse_json_lines(c.text, "x.jsonl"), ContainsSubstring(c.message));
  }
}

TEST_CASE("a file that cannot be data is refused by name") {
  const TempDir dir;
  const auto file = dir.write("a.txt", std::string("a\0b", 3));
  CHECK(read_file(file) == std::string("a\0b", 3));
  CHECK(read_file(file, 3).size() == 3);
  CHECK_THROWS_WITH(read_file(file, 2), ContainsSubstring("a.txt (3 bytes; at most 2 are read)"));
  CHECK_THROWS_WITH(read_file(dir.path() / "none"), ContainsSubstring("none (no such file)"));
  CHECK_THROWS_WITH(read_file(dir.path()), ContainsSubstring("is a directory"));
  CHECK_THROWS_WITH(read_file("/dev/zero"), ContainsSubstring("/dev/zero (is not a regular file)"));
  CHECK_THROWS_AS(read_file(file / "below"), Error);
  // The errors of rows carry the file's path.
  CHECK_THROWS_WITH(read_csv(file, 2), ContainsSubstring(file.string() + ":1: the row has 1"));
  CHECK_THROWS_WITH(read_json_lines(file), ContainsSubstring(file.string() + ":1: not JSON"));
}
