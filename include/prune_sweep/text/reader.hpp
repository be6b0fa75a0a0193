/// \file
/// Text files with rows: CSV (RFC 4180) and JSON Lines. Every error names file and line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace prune_sweep {

/// Larger data files than this are taken for a mistake.
inline constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;

/// The bytes of a regular file. Throws Error (kBadInput) naming the path for one that is missing,
/// is no regular file, cannot be read or is larger than `max_bytes`.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes = kMaxFileBytes);

struct CsvRow {
  int64_t line = 0;  ///< where the row begins, from 1
  std::vector<std::string> fields;
};

/// Rows of `num_columns` fields as RFC 4180 has them: fields may be quoted, and then hold commas,
/// line ends and doubled quotes; lines end with LF or CR LF, the last one may lack its end; a byte
/// order mark is skipped. A first row of column names is a row like any other. Throws Error
/// (kBadInput) for another number of fields, a quote inside an unquoted field or after a closing
/// one, a quote that is never closed, a lone CR, and bytes that are not UTF-8.
std::vector<CsvRow> read_csv(const std::filesystem::path& path, size_t num_columns);
/// As read_csv; `source` names the text in messages.
std::vector<CsvRow> parse_csv(std::string_view text, const std::string& source, size_t num_columns);

struct JsonLine {
  int64_t line = 0;  ///< from 1
  nlohmann::json object;
};

/// One JSON object per line. Throws Error (kBadInput) for a line that
/// is empty, broken or not an object, and for bytes that are not UTF-8.
std::vector<JsonLine> read_json_lines(const std::filesystem::path& path);
/// As read_json_lines; `source` names the text in messages.
std::vector<JsonLine> parse_json_lines(std::string_view text, const std::string& source);

/// "FILE:LINE", for messages about a row.
std::string at_line(const std::string& source, int64_t line);

}  // namespace prune_sweep
