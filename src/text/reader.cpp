#include "prune_sweep/text/reader.hpp"

#include <algorithm>
#include <fstream>
#include <system_error>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/json_file.hpp"
#include "prune_sweep/text/utf8.hpp"

namespace prune_sweep {

namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// `text` without a byte order mark. Throws where it is not UTF-8.
std::string_view checked_text(std::string_view text, const std::string& source) {
  const size_t bad = find_invalid_utf8(text);
  if (bad != std::string_view::npos) {
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(bad), '\n');
    bad_input(
        at_line(source, line) + ": byte " + std::to_string(bad) + " of the file is not UTF-8",
        "the text has to be UTF-8");
  }
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return text;
}

class CsvParser {
 public:
  CsvParser(std::string_view text, const std::string& source) : text_(text), source_(source) {}

  bool at_end() const { return at_ == text_.size(); }

  CsvRow row() {
    CsvRow row{line_, {}};
    do {
      row.fields.push_back(field(row.line));
    } while (skip(","));
    if (!at_end() && !skip("\n") && !skip("\r\n")) {
      refuse("a carriage return without a line feed");
    }
    ++line_;
    return row;
  }

 private:
  std::string field(int64_t row_line) {
    if (skip("\"")) return quoted_field(row_line);
    const size_t end = std::min(text_.find_first_of(",\"\r\n", at_), text_.size());
    if (end < text_.size() && text_[end] == '"') {
      refuse("a quote inside an unquoted field", "quote the field and double the quotes in it");
    }
    const std::string_view value = text_.substr(at_, end - at_);
    at_ = end;
    return std::string(value);
  }

  std::string quoted_field(int64_t row_line) {
    std::string value;
    while (true) {
      const size_t quote = text_.find('"', at_);
      if (quote == std::string_view::npos) {
        line_ = row_line;
        refuse("a quoted field that is never closed");
      }
      const std::string_view part = text_.substr(at_, quote - at_);
      line_ += std::count(part.begin(), part.end(), '\n');
      value += part;
      at_ = quote + 1;
      if (!skip("\"")) break;
      value += '"';
    }
    if (!at_end() && std::string_view(",\r\n").find(text_[at_]) == std::string_view::npos) {
      refuse("text after the closing quote of a field", "double the quotes inside a field");
    }
    return value;
  }

  bool skip(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }

  [[noreturn]] void refuse(std::string_view why, std::string_view suggestion = {}) const {
    bad_input(at_line(source_, line_) + ": not CSV", why, suggestion);
  }

  std::string_view text_;
  const std::string& source_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

std::string at_line(const std::string& source, int64_t line) {
  return source + ":" + std::to_string(line);
}

std::string read_file(const std::filesystem::path& path, uint64_t max_bytes) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    bad_input(path.string(), "no such file");
  }
  if (error) bad_input(path.string(), error.message());
  require(!std::filesystem::is_directory(status), path.string(), "is a directory, not a file");
  require(std::filesystem::is_regular_file(status), path.string(), "is not a regular file");
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error) bad_input(path.string(), error.message());
  if (size > max_bytes) {
    bad_input(
        path.string(),
        std::to_string(size) + " bytes; at most " + std::to_string(max_bytes) + " are read");
  }
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), path.string(), "cannot be opened for reading");
  std::string bytes(size, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  require(file.gcount() == static_cast<std::streamsize>(size), path.string(), "cannot be read");
  return bytes;
}

std::vector<CsvRow> parse_csv(
    std::string_view text, const std::string& source, size_t num_columns) {
  CsvParser parser(checked_text(text, source), source);
  std::vector<CsvRow> rows;
  while (!parser.at_end()) {
    rows.push_back(parser.row());
    const CsvRow& row = rows.back();
    if (row.fields.size() != num_columns) {
      bad_input(
          at_line(source, row.line) + ": the row has " + std::to_string(row.fields.size()) +
              " columns",
          std::to_string(num_columns) + " are expected");
    }
  }
  return rows;
}

std::vector<CsvRow> read_csv(const std::filesystem::path& path, size_t num_columns) {
  return parse_csv(read_file(path), path.string(), num_columns);
}

std::vector<JsonLine> parse_json_lines(std::string_view text, const std::string& source) {
  text = checked_text(text, source);
  std::vector<JsonLine> lines;
  for (int64_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back({line, parse_json(text.substr(0, end), at_line(source, line))});
    if (!lines.back().object.is_object()) {
      bad_input(at_line(source, line) + ": not a JSON object", "each line has to hold one");
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::vector<JsonLine> read_json_lines(const std::filesystem::path& path) {
  return parse_json_lines(read_file(path), path.string());
}

}  // namespace prune_sweep
