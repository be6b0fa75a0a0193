/// \file
/// A variant as a model of its own: a directory in Hugging Face's layout that transformers loads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "prune_sweep/core/variant.hpp"

namespace prune_sweep {

/// What became of the layers and weights.
struct ExportedModel {
  std::vector<int32_t> kept_layers;       ///< ascending, as numbered in the original
  std::vector<int32_t> zeroed_attention;  ///< layers whose attention adds nothing: o_proj is 0
  std::vector<int32_t> zeroed_mlp;        ///< layers whose MLP adds nothing: down_proj is 0
  std::vector<int32_t> pruned;            ///< layers with weights of their own
};

/// Writes `variant` of the model in `model_dir` to the new directory `out`: config.json, tokenizer
/// files as they are, one model.safetensors in the types of the original. A dropped layer is left
/// out, and those behind it are renumbered; transformers cannot leave out an attention or an MLP
/// alone, so the weight that ends it is zero, which gives the same numbers. A stored copy of a tied
/// head is left out.
/// `out` appears whole or not at all. Throws Error: kBadInput where `out` has something in it
/// already or no layer would be left, kDisk.
ExportedModel export_variant(
    const std::filesystem::path& model_dir,
    const Variant& variant,
    const std::filesystem::path& out);

}  // namespace prune_sweep
