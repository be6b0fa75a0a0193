/// \file
/// JSON from files that are not trusted.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace prune_sweep {

/// Parses any value. Throws Error (kBadInput) beginning with `source` for text that is not JSON,
/// names a key of the outermost object twice, or is nested or split up beyond what models and data
/// need: what comes out is safe to walk through recursively, and not much larger than `text`.
nlohmann::json parse_json(std::string_view text, const std::string& source);

/// As parse_json, and the value is an object.
nlohmann::json parse_json_object(std::string_view text, const std::string& source);

/// parse_json_object of a regular file of at most `max_bytes`.
nlohmann::json read_json_object(const std::filesystem::path& path, size_t max_bytes);

/// A value as it may stand in a message: one line, cut.
std::string brief(const nlohmann::json& value);

}  // namespace prune_sweep
