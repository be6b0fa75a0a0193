#include "model/family.hpp"

namespace prune_sweep {

const std::vector<Family>& families() {
  static const std::vector<Family> kTable{
      qwen3_family(),
  };
  return kTable;
}

}  // namespace prune_sweep
