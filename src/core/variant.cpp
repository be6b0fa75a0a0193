#include "prune_sweep/core/variant.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

__extension__ using Int128 = __int128;

constexpr int64_t kMillionthsPerPercent = 1'000'000;
constexpr int kPercentDecimals = 6;

struct ScopeName {
  MagnitudeScope scope;
  std::string_view name;
};
constexpr std::array kScopeNames{
    ScopeName{MagnitudeScope::kTensor, "tensor"},
    ScopeName{MagnitudeScope::kRow, "row"},
    ScopeName{MagnitudeScope::kGlobal, "global"},
};

std::optional<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

/// Parts of `text` between any of `separators`, empty ones left out.
std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t begin = text.find_first_not_of(separators);
    if (begin == std::string_view::npos) return parts;
    text.remove_prefix(begin);
    const size_t end = std::min(text.find_first_of(separators), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

bool is_layer_list(std::string_view word) {
  return word.find_first_not_of("0123456789-") == std::string_view::npos;
}

/// `7` or `7-9`.
void append_numbers(
    std::string_view word,
    std::string_view noun,
    int32_t count,
    std::string_view where,
    std::vector<int32_t>& numbers) {
  const size_t dash = word.find('-');
  const auto first = parse_integer(word.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_integer(word.substr(dash + 1));
  if (!first || !last || *first > *last) {
    bad_input(
        where,
        "'" + printable(word) + "' is not a " + std::string(noun) + " or a range such as 7-9");
  }
  if (*first < 0 || *last >= count) {
    bad_input(
        where,
        std::string(noun) + " " + std::to_string(*last) + " is not there: there are " +
            std::string(noun) + "s 0 to " + std::to_string(count - 1));
  }
  for (int64_t number = *first; number <= *last; ++number) {
    numbers.push_back(static_cast<int32_t>(number));
  }
}

const EditKindInfo& kind_named(std::string_view name, std::string_view where) {
  for (const EditKindInfo& row : edit_kinds()) {
    if (row.name == name) return row;
  }
  std::vector<std::string_view> names;
  for (const EditKindInfo& row : edit_kinds()) names.push_back(row.name);
  bad_input(where, "'" + printable(name) + "' is not an edit", "Edits are: " + listed(names) + ".");
}

/// The words of a `variant` line, read one after the other.
class EditParser {
 public:
  EditParser(
      std::string_view text, int32_t num_layers, MagnitudeScope scope, std::string_view where)
      : words_(split(text, " \t,")), num_layers_(num_layers), scope_(scope), where_(where) {}

  std::vector<Edit> parse() {
    std::vector<Edit> edits;
    while (!at_end()) append_group(edits);
    std::sort(edits.begin(), edits.end());
    for (size_t i = 1; i < edits.size(); ++i) {
      if (edits[i].layer == edits[i - 1].layer) {
        bad_input(
            where_,
            "layer " + std::to_string(edits[i].layer) + " has two edits",
            "A layer takes at most one.");
      }
    }
    return edits;
  }

 private:
  bool at_end() const { return next_ == words_.size(); }

  void append_group(std::vector<Edit>& edits) {
    std::vector<int32_t> layers;
    while (!at_end() && is_layer_list(words_[next_])) {
      append_numbers(words_[next_++], "layer", num_layers_, where_, layers);
    }
    if (layers.empty()) {
      bad_input(where_, "'" + printable(words_[next_]) + "' stands where layers are expected");
    }
    if (at_end()) bad_input(where_, "layers without an edit at the end");
    const EditKindInfo& kind = kind_named(words_[next_++], where_);
    Edit edit{.kind = kind.kind};
    if (kind.takes_percent) read_amount(edit, kind.name);
    for (const int32_t layer : layers) {
      edit.layer = layer;
      edits.push_back(edit);
    }
  }

  void read_amount(Edit& edit, std::string_view kind) {
    if (at_end()) bad_input(where_, std::string(kind) + " needs a percent");
    edit.amount = Percent::parse(words_[next_++], where_);
    edit.scope = scope_;
    if (at_end()) return;
    for (const ScopeName& row : kScopeNames) {
      if (row.name == words_[next_]) {
        edit.scope = row.scope;
        ++next_;
        return;
      }
    }
  }

  std::vector<std::string_view> words_;
  size_t next_ = 0;
  int32_t num_layers_;
  MagnitudeScope scope_;
  std::string_view where_;
};

/// Whether `next` goes on where `edit` is, with the same thing done to it.
bool continues(const Edit& edit, const Edit& next) {
  Edit moved = edit;
  moved.layer = next.layer;
  return edit.layer + 1 == next.layer && moved == next;
}

std::string action_text(const Edit& edit) {
  std::string text(info(edit.kind).name);
  if (!info(edit.kind).takes_percent) return text;
  text += ' ' + edit.amount.text();
  if (edit.scope != MagnitudeScope::kTensor) {
    text.append(" ").append(kScopeNames[static_cast<size_t>(edit.scope)].name);
  }
  return text;
}

}  // namespace

int64_t Percent::of(int64_t n) const {
  return static_cast<int64_t>(static_cast<Int128>(millionths) * n / (100 * kMillionthsPerPercent));
}

std::string Percent::text() const {
  std::string text = std::to_string(millionths / kMillionthsPerPercent);
  std::string decimals = std::to_string(millionths % kMillionthsPerPercent + kMillionthsPerPercent);
  decimals.erase(0, 1);
  decimals.erase(decimals.find_last_not_of('0') + 1);
  return decimals.empty() ? text : text + '.' + decimals;
}

Percent Percent::parse(std::string_view text, std::string_view where) {
  const size_t point = std::min(text.find('.'), text.size());
  const auto whole = parse_integer(text.substr(0, point));
  std::string decimals(text.substr(std::min(point + 1, text.size())));
  const bool decimals_missing = point < text.size() && decimals.empty();
  if (decimals.size() > kPercentDecimals) bad_input(where, "a percent takes at most six decimals");
  decimals.resize(kPercentDecimals, '0');
  const auto fraction = parse_integer(decimals);
  const bool has_other_bytes = text.find_first_not_of("0123456789.") != std::string_view::npos;
  if (!whole || !fraction || decimals_missing || has_other_bytes) {
    bad_input(where, "'" + printable(text) + "' is not a percent");
  }
  if (*whole > 100 || (*whole == 100 && *fraction > 0)) {
    bad_input(where, "percent must be in [0, 100]");
  }
  return {*whole * kMillionthsPerPercent + *fraction};
}

const std::vector<EditKindInfo>& edit_kinds() {
  static const std::vector<EditKindInfo> kTable{
      {EditKind::kDrop, "drop", false, {false, false, false}},
      {EditKind::kDropAttention, "drop-attention", false, {false, true, false}},
      {EditKind::kDropMlp, "drop-mlp", false, {true, false, false}},
      {EditKind::kMagnitude, "magnitude", true, {true, true, true}},
  };
  return kTable;
}

const EditKindInfo& info(EditKind kind) { return edit_kinds().at(static_cast<size_t>(kind)); }

bool Edit::is_identity() const { return info(kind).takes_percent && amount.millionths == 0; }

const Edit* Variant::edit_of(int32_t layer) const {
  for (const Edit& edit : edits) {
    if (edit.layer == layer && !edit.is_identity()) return &edit;
  }
  return nullptr;
}

std::string edits_text(const std::vector<Edit>& edits) {
  std::string text;
  for (size_t first = 0; first < edits.size();) {
    size_t last = first;
    while (last + 1 < edits.size() && continues(edits[last], edits[last + 1])) ++last;
    if (!text.empty()) text += ", ";
    text += std::to_string(edits[first].layer);
    if (last > first) text += '-' + std::to_string(edits[last].layer);
    text += ' ' + action_text(edits[first]);
    first = last + 1;
  }
  return text;
}

std::string effective_edits_text(const std::vector<Edit>& edits) {
  std::vector<Edit> effective;
  std::copy_if(edits.begin(), edits.end(), std::back_inserter(effective), [](const Edit& edit) {
    return !edit.is_identity();
  });
  return edits_text(effective);
}

std::string computed_text(const Variant& variant) {
  const std::string model = effective_edits_text(variant.edits);
  return variant.repeat == 0 ? model : model + " repeat " + std::to_string(variant.repeat);
}

std::vector<Edit> parse_edits(
    std::string_view text, int32_t num_layers, MagnitudeScope scope, std::string_view where) {
  return EditParser(text, num_layers, scope, where).parse();
}

std::vector<int32_t> parse_numbers(
    std::string_view text, std::string_view noun, int32_t count, std::string_view where) {
  std::vector<int32_t> numbers;
  for (const std::string_view word : split(text, " \t,")) {
    append_numbers(word, noun, count, where, numbers);
  }
  std::sort(numbers.begin(), numbers.end());
  const auto twice = std::adjacent_find(numbers.begin(), numbers.end());
  if (twice != numbers.end()) {
    bad_input(where, std::string(noun) + " " + std::to_string(*twice) + " is named twice");
  }
  return numbers;
}

std::vector<int32_t> parse_layers(
    std::string_view text, int32_t num_layers, std::string_view where) {
  return parse_numbers(text, "layer", num_layers, where);
}

std::string drop_name(int32_t layer) {
  return (layer < 10 ? "drop-0" : "drop-") + std::to_string(layer);
}

std::string repeat_name(int32_t repeat) {
  return std::string(kBaseline) + "-repeat-" + std::to_string(repeat);
}

std::string magnitude_name(Percent amount) {
  const std::string text = amount.text();
  const bool one_digit = amount.millionths < 10 * kMillionthsPerPercent;
  return (one_digit ? "magnitude-0" : "magnitude-") + text;
}

}  // namespace prune_sweep
