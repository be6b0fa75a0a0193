/// \file
/// UTF-8 as CPython and the tokenizers library treat it.
#pragma once

#include <string>
#include <string_view>

namespace prune_sweep {

/// Offset of the first byte that does not belong to well-formed UTF-8, or npos.
size_t find_invalid_utf8(std::string_view text);

/// `text` with each maximal part of an ill-formed sequence replaced by U+FFFD: "substitution of
/// maximal subparts" (Unicode, section 3.9), which is Python's errors="replace" and Rust's
/// from_utf8_lossy.
std::string replace_invalid_utf8(std::string_view text);

/// `text` in normalization form C. `text` is well-formed UTF-8.
std::string to_nfc(std::string_view text);

/// `text` without the white space at its ends, as Python's str.strip(). `text` is well-formed
/// UTF-8.
std::string_view strip(std::string_view text);
/// The same at its beginning only, as str.lstrip().
std::string_view lstrip(std::string_view text);

}  // namespace prune_sweep
