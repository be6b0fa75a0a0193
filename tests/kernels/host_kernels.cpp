// The kernels of a grid on the host, in a table for each order of threads.

#include "engine/cuda/kernels.hpp"
#include "kernels/host_grid.hpp"
#include "kernels/under_test.hpp"

namespace prune_sweep {

namespace {

template <host_grid::Order kOrder, auto kKernel>
struct InOrder;

template <host_grid::Order kOrder, typename... Args, const char* (*kKernel)(Args...)>
struct InOrder<kOrder, kKernel> {
  static const char* run(Args... args) {
    host_grid::set_order(kOrder);
    return kKernel(args...);
  }
};

template <host_grid::Order kOrder>
constexpr KernelTable kTable{
    KernelTable::kVersion,
    InOrder<kOrder, kernels::rms_norm>::run,
    InOrder<kOrder, kernels::turn_heads>::run,
    InOrder<kOrder, kernels::silu_mul>::run,
    InOrder<kOrder, kernels::merge>::run,
    InOrder<kOrder, kernels::attend_generated>::run,
    InOrder<kOrder, kernels::scan_logits>::run,
    nullptr};

}  // namespace

std::vector<KernelsUnderTest> kernels_under_test() {
  const auto in_order = [](const KernelTable& table) {
    return KernelsUnderTest{&table, at::kCPU, /*many_rows=*/40, /*num_generated=*/3};
  };
  return {
      in_order(kTable<host_grid::Order::kAscending>),
      in_order(kTable<host_grid::Order::kDescending>)};
}

}  // namespace prune_sweep
