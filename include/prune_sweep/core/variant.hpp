/// \file
/// Edits and variants: what is done to a model, as values with a canonical text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace prune_sweep {

/// A share in percent with up to six decimals, exact: 12.5 % is {12'500'000}.
struct Percent {
  int64_t millionths = 0;  ///< of one percent; in [0, 100'000'000]

  /// floor(percent * n / 100) in exact arithmetic.
  int64_t of(int64_t n) const;
  /// "30", "12.5": no exponent, no trailing zeros.
  std::string text() const;
  /// Throws Error (kBadInput) unless `text` is a decimal number in [0, 100]; `where` begins the
  /// message.
  static Percent parse(std::string_view text, std::string_view where);

  auto operator<=>(const Percent&) const = default;
};

/// Over what the smallest magnitudes are ranked.
enum class MagnitudeScope : uint8_t { kTensor, kRow, kGlobal };

enum class EditKind : uint8_t { kDrop, kDropAttention, kDropMlp, kMagnitude };

/// What one edit does to its layer, for cost counting and for the engine.
struct EditEffect {
  bool keeps_attention;
  bool keeps_mlp;
  bool changes_weights;
};

/// One row of the table of edit kinds.
struct EditKindInfo {
  EditKind kind;
  std::string_view name;  ///< as in job files and in canonical text
  bool takes_percent;
  EditEffect effect;
};

/// The table of edit kinds, in the order of the enum. A new kind is a new row.
const std::vector<EditKindInfo>& edit_kinds();
const EditKindInfo& info(EditKind kind);

/// What is done to one decoder layer.
struct Edit {
  int32_t layer = 0;
  EditKind kind = EditKind::kDrop;
  Percent amount;  ///< of the layer's linear weights; kMagnitude only
  MagnitudeScope scope = MagnitudeScope::kTensor;  ///< kMagnitude only

  /// Whether the layer stays as it is, as with magnitude 0.
  bool is_identity() const;
  auto operator<=>(const Edit&) const = default;
};

/// A named list of edits, at most one per layer, sorted by layer. The empty list is the baseline.
struct Variant {
  std::string name;
  std::vector<Edit> edits;
  /// 0: shares what is computed with every variant that is the same model. N: its N-th copy, which
  /// is computed by itself, to see by how much equal models differ.
  int32_t repeat = 0;

  /// The edit of `layer` that is not an identity, or nullptr.
  const Edit* edit_of(int32_t layer) const;
};

inline constexpr std::string_view kBaseline = "baseline";

/// Canonical text of an edit list: `3 drop, 9-12 magnitude 50`; equal neighbours are joined, empty
/// for none.
std::string edits_text(const std::vector<Edit>& edits);

/// As edits_text, without identities: equal for variants that are the same model.
std::string effective_edits_text(const std::vector<Edit>& edits);

/// What is computed for a variant: equal for variants that share it.
std::string computed_text(const Variant& variant);

/// Reads the text of edits_text or of a job file's `variant` line. `scope` is that of its magnitude
/// edits. Throws Error (kBadInput) beginning with `where` for an unknown edit, a percent out of
/// range, a layer outside [0, num_layers) or a layer named twice.
std::vector<Edit> parse_edits(
    std::string_view text, int32_t num_layers, MagnitudeScope scope, std::string_view where);

/// Numbers of a list such as `0,3,7-9`, ascending. Throws Error (kBadInput) beginning with `where`
/// for what is none, outside [0, count) or named twice; `noun` is what the numbers stand for.
std::vector<int32_t> parse_numbers(
    std::string_view text, std::string_view noun, int32_t count, std::string_view where);

/// Layers of a list such as `0,3,7-9`, ascending. Throws as parse_edits does.
std::vector<int32_t> parse_layers(
    std::string_view text, int32_t num_layers, std::string_view where);

/// `drop-07`, `magnitude-30`, `magnitude-12.5`.
std::string drop_name(int32_t layer);
std::string magnitude_name(Percent amount);
/// `baseline-repeat-1`.
std::string repeat_name(int32_t repeat);

}  // namespace prune_sweep
