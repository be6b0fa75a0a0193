#include "prune_sweep/evaluator/export.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/engine/export.hpp"
#include "prune_sweep/inputs/inputs.hpp"

namespace prune_sweep {

namespace {

const Variant& variant_named(const std::vector<Variant>& variants, const std::string& name) {
  const auto found = std::find_if(
      variants.begin(), variants.end(), [&](const Variant& v) { return v.name == name; });
  if (found != variants.end()) return *found;
  std::vector<std::string> names;
  for (const Variant& variant : variants) names.push_back(variant.name);
  bad_input(printable(name), "is no variant of the job", "Known: " + listed(names) + ".");
}

std::string numbers(const std::vector<int32_t>& layers) {
  std::vector<std::string> texts;
  for (const int32_t layer : layers) texts.push_back(std::to_string(layer));
  return listed(texts);
}

void print_summary(const ExportedModel& made, const Variant& variant, int32_t num_layers) {
  const std::string edits = edits_text(variant.edits);
  std::printf("%s: %s\n", variant.name.c_str(), edits.empty() ? "no edits" : edits.c_str());
  std::printf("%zu of %d layers", made.kept_layers.size(), num_layers);
  const bool is_whole = std::ssize(made.kept_layers) == num_layers;
  std::printf(
      is_whole ? "\n" : ", numbered anew; the original's %s\n", numbers(made.kept_layers).c_str());
  const auto zeroed = [](const char* what, const char* weight, const std::vector<int32_t>& layers) {
    if (layers.empty()) return;
    std::printf(
        "%s of the original's layers %s adds nothing: %s is zero, as no configuration can leave it "
        "out\n",
        what,
        numbers(layers).c_str(),
        weight);
  };
  zeroed("attention", "o_proj", made.zeroed_attention);
  zeroed("MLP", "down_proj", made.zeroed_mlp);
  if (!made.pruned.empty()) {
    std::printf(
        "weights of %zu layers pruned; zeros are stored, so that the file is no smaller\n",
        made.pruned.size());
  }
}

}  // namespace

int run_export(int argc, char** argv) {
  std::vector<std::string> names;
  std::vector<std::string> overrides;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool is_key = argument.starts_with("--") && argument.find('.') < argument.find('=') &&
                        argument.find('=') != std::string::npos;
    if (argument.starts_with("-") && !is_key) {
      bad_input(
          "'" + printable(argument) + "'",
          "is not an option of export",
          "Keys of the job are: --section.key=value.");
    }
    (is_key ? overrides : names).push_back(argument);
  }
  if (names.size() != 3) bad_input("export", "needs a job file, a variant and a new folder");
  const Job job = read_job(names[0], overrides, benchmark_keys());
  const ModelConfig config = read_model_config(job.model.path);
  const std::vector<Variant> variants = enumerate_variants(job, config.num_layers);
  const Variant& variant = variant_named(variants, names[1]);
  const ExportedModel made = export_variant(job.model.path, variant, names[2]);
  print_summary(made, variant, config.num_layers);
  std::printf("model: %s\n", names[2].c_str());
  return 0;
}

}  // namespace prune_sweep
