#include "prune_sweep/core/json_file.hpp"

#include <fstream>
#include <set>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

using nlohmann::json;

constexpr int kMaxDepth = 16;
// Of values and keys together. A checkpoint of 100,000 tensors has about 900,000.
constexpr size_t kMaxEvents = 4'000'000;

/// Refuses, while the parser is still reading, what would only waste memory.
class Guard {
 public:
  explicit Guard(const std::string& source) : source_(source) {}

  bool operator()(int depth, json::parse_event_t event, const json& value) {
    if (depth > kMaxDepth) refuse("JSON nested deeper than any file needs");
    if (++num_events_ > kMaxEvents) refuse("more JSON values than any file needs");
    if (event == json::parse_event_t::key && depth == 1) {
      if (!outer_keys_.insert(value.get<std::string>()).second) {
        refuse("key '" + printable(value.get<std::string>()) + "' stands there twice");
      }
    }
    return true;
  }

  [[noreturn]] void refuse(const std::string& why) const {
    bad_input(source_ + ": not JSON as it has to be", why);
  }

 private:
  const std::string& source_;
  size_t num_events_ = 0;
  std::set<std::string> outer_keys_;
};

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& source) {
  Guard guard(source);
  try {
    return json::parse(
        text.begin(), text.end(), [&guard](int depth, json::parse_event_t event, json& parsed) {
          return guard(depth, event, parsed);
        });
  } catch (const json::exception& error) {
    bad_input(source + ": not JSON", printable(error.what(), 200));
  }
}

nlohmann::json parse_json_object(std::string_view text, const std::string& source) {
  json value = parse_json(text, source);
  if (!value.is_object()) bad_input(source, "a JSON object is expected");
  return value;
}

nlohmann::json read_json_object(const std::filesystem::path& path, size_t max_bytes) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    bad_input(path.string(), "no such file");
  }
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) bad_input(path.string(), error.message());
  if (size > max_bytes) {
    bad_input(path.string(), "larger than " + std::to_string(max_bytes) + " bytes");
  }
  std::string text(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) {
    bad_input(path.string(), "cannot be read");
  }
  return parse_json_object(text, path.string());
}

std::string brief(const nlohmann::json& value) {
  if (value.is_object()) return "{...}";
  if (value.is_array() && value.size() > 4) return "[...]";
  return printable(value.dump(-1, ' ', false, json::error_handler_t::replace), 60);
}

}  // namespace prune_sweep
