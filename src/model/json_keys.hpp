/// \file
/// A JSON object of a file that is not trusted, read key by key; every fault names file, key and
/// value.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace prune_sweep {

class JsonKeys {
 public:
  /// `source` begins every message. `object` must outlive it.
  JsonKeys(std::string source, const nlohmann::json& object)
      : source_(std::move(source)), object_(object) {}

  const std::string& source() const { return source_; }

  bool is_empty() const { return object_.empty(); }
  /// Whether the key is there, be it null.
  bool names(const char* key) const { return object_.contains(key); }
  /// Whether the key is there and not null.
  bool has(const char* key) const { return names(key) && !object_.at(key).is_null(); }

  /// The functions below throw Error (kBadInput) where the key is missing or null, or its value is
  /// of another kind or out of range.
  const nlohmann::json& value(const char* key) const;
  int32_t integer(const char* key, int32_t min, int32_t max) const;  // both included
  double number(const char* key, double above) const;                // finite
  bool boolean(const char* key) const;
  std::string text(const char* key) const;
  /// The object that stands at `key`; its messages begin with this one's source and `key`.
  JsonKeys object(const char* key) const;

  /// Refuses every key that is not in `known`.
  void require_only(std::initializer_list<std::string_view> known) const;

  [[noreturn]] void refuse(
      const char* key, const std::string& why, const std::string& suggestion = {}) const;

 private:
  std::string source_;
  const nlohmann::json& object_;
};

}  // namespace prune_sweep
