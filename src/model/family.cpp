#include "model/family.hpp"

namespace prune_sweep {

const std::vector<Family>& families() {
  static const std::vector<Family> kTable{
      llama_family(),
      mistral_family(),
      qwen2_family(),
      qwen3_family(),
  };
  return kTable;
}

}  // namespace prune_sweep
