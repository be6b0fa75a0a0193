/// \file
/// Where generated text ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "prune_sweep/text/tokenizer.hpp"

namespace prune_sweep {

/// Text of generated ids, special tokens left out. A model may have more rows than its tokenizer
/// has tokens; those have no text.
std::string text_of(const std::vector<int32_t>& ids, const Tokenizer& tokenizer);

/// Where the first of the stop strings begins in `text`, or npos.
size_t find_stop(std::string_view text, const std::vector<std::string>& until);

/// Whether some stop string may end with the last token, none having ended before: a look at the
/// end of the text, which is far shorter than all of it. Never false where find_stop() would find
/// one.
bool may_end_with_stop(
    const std::vector<int32_t>& ids,
    const std::vector<std::string>& until,
    const Tokenizer& tokenizer);

}  // namespace prune_sweep
