#include "kernels/host_grid.hpp"

#include <sanitizer/common_interface_defs.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <stdexcept>
#include <vector>

namespace host_grid {

namespace {

constexpr size_t kStackBytes = size_t{256} << 10;
constexpr unsigned kWarp = 32;
constexpr size_t kMostSharedBytes = size_t{48} << 10;  ///< of a launch that asks for no more

enum class State { kReady, kAtBarrier, kInExchange, kDone };

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<std::byte[]> stack = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
  void* sanitizer_stack = nullptr;
  State state = State::kReady;
  int lane_mask = 0;  ///< of the exchange
  unsigned num_exchanges = 0;
  /// Two of them, since a lane may give its next value before all have read the last.
  std::array<float, 2> given{};
};

Order order = Order::kAscending;
const std::function<void()>* program = nullptr;
std::vector<Fiber> fibers;  // [threads], and those of larger blocks before
unsigned running = 0;       ///< index of the fiber
std::vector<float> shared;

ucontext_t scheduler;
const void* scheduler_stack = nullptr;
size_t scheduler_stack_bytes = 0;

void return_to_scheduler(State state) {
  Fiber& fiber = fibers[running];
  fiber.state = state;
  __sanitizer_start_switch_fiber(
      state == State::kDone ? nullptr : &fiber.sanitizer_stack,
      scheduler_stack,
      scheduler_stack_bytes);
  swapcontext(&fiber.context, &scheduler);
  __sanitizer_finish_switch_fiber(fiber.sanitizer_stack, &scheduler_stack, &scheduler_stack_bytes);
}

void run_thread() {
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
  (*program)();
  return_to_scheduler(State::kDone);
}

void begin(Fiber& fiber) {
  if (getcontext(&fiber.context) != 0) throw std::runtime_error("getcontext");
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, run_thread, 0);
  // Else the sanitizer of GCC 12 forgets what lies between variables at every change of fibers.
  fiber.context.uc_stack.ss_size = 0;
  fiber.state = State::kReady;
  fiber.num_exchanges = 0;
}

void resume(unsigned thread) {
  running = thread;
  threadIdx = dim3(thread);
  void* own_stack = nullptr;
  __sanitizer_start_switch_fiber(&own_stack, fibers[thread].stack.get(), kStackBytes);
  swapcontext(&scheduler, &fibers[thread].context);
  __sanitizer_finish_switch_fiber(own_stack, nullptr, nullptr);
}

unsigned in_order(unsigned index, unsigned count) {
  return order == Order::kAscending ? index : count - 1 - index;
}

/// Lets those go on who have all come to where they wait for each other.
void release(unsigned threads) {
  const auto all_of = [](unsigned begin, unsigned end, auto is) {
    return std::all_of(fibers.begin() + begin, fibers.begin() + end, is);
  };
  const auto go_on = [](unsigned begin, unsigned end, State from) {
    for (unsigned thread = begin; thread < end; ++thread) {
      if (fibers[thread].state == from) fibers[thread].state = State::kReady;
    }
  };
  for (unsigned warp = 0; warp + kWarp <= threads; warp += kWarp) {
    const bool are_agreed = all_of(warp, warp + kWarp, [&](const Fiber& fiber) {
      return fiber.state == State::kInExchange && fiber.lane_mask == fibers[warp].lane_mask;
    });
    if (are_agreed) go_on(warp, warp + kWarp, State::kInExchange);
  }
  // Threads that have ended are not waited for.
  const bool have_all_come = all_of(0, threads, [](const Fiber& fiber) {
    return fiber.state == State::kAtBarrier || fiber.state == State::kDone;
  });
  if (have_all_come) go_on(0, threads, State::kAtBarrier);
}

void run_block(unsigned threads) {
  for (unsigned thread = 0; thread < threads; ++thread) begin(fibers[thread]);
  // What a block finds there is anything.
  std::fill(shared.begin(), shared.end(), std::numeric_limits<float>::quiet_NaN());
  while (true) {
    unsigned num_run = 0;
    for (unsigned i = 0; i < threads; ++i) {
      const unsigned thread = in_order(i, threads);
      if (fibers[thread].state != State::kReady) continue;
      resume(thread);
      ++num_run;
    }
    if (num_run == 0) break;
    release(threads);
  }
  for (unsigned thread = 0; thread < threads; ++thread) {
    const State state = fibers[thread].state;
    if (state == State::kDone) continue;
    // Their stacks are in the middle of something.
    fibers.clear();
    throw std::logic_error(
        state == State::kAtBarrier ? "threads of a block do not all come to a barrier"
                                   : "lanes of a warp do not all exchange values");
  }
}

}  // namespace

void set_order(Order wanted) { order = wanted; }

void run(dim3 blocks, unsigned threads, size_t shared_bytes, const std::function<void()>& thread) {
  if (threads == 0 || threads > 1024) throw std::logic_error("a block has 1 to 1024 threads");
  if (blocks.x == 0 || blocks.y == 0 || blocks.y > 65'535) {
    throw std::logic_error("a grid has 1 to 65,535 rows of blocks");
  }
  if (shared_bytes > kMostSharedBytes) throw std::logic_error("a block may share 48 KiB");
  program = &thread;
  gridDim = blocks;
  blockDim = dim3(threads);
  if (fibers.size() < threads) fibers = std::vector<Fiber>(threads);
  // As many as were asked for and no more, so that the sanitizer sees what lies behind them.
  shared = std::vector<float>(shared_bytes / sizeof(float));
  const unsigned num_blocks = blocks.x * blocks.y;
  for (unsigned i = 0; i < num_blocks; ++i) {
    const unsigned block = in_order(i, num_blocks);
    blockIdx = dim3(block % blocks.x, block / blocks.x);
    run_block(threads);
  }
}

float* dynamic_shared() { return shared.data(); }

void wait_for_block() { return_to_scheduler(State::kAtBarrier); }

float exchange(unsigned lanes, float value, int lane_mask) {
  Fiber& fiber = fibers[running];
  // Nobody meets in an exchange that a GPU does not define, and the block is given up.
  const bool is_defined = lanes == ~0U && lane_mask > 0 && lane_mask < static_cast<int>(kWarp);
  fiber.lane_mask = is_defined ? lane_mask : -1 - static_cast<int>(running);
  const unsigned turn = fiber.num_exchanges++ % 2;
  const unsigned thread = running;
  fiber.given[turn] = value;
  return_to_scheduler(State::kInExchange);
  return fibers[thread ^ static_cast<unsigned>(lane_mask)].given[turn];
}

}  // namespace host_grid
