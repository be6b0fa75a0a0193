#include "engine/linear.hpp"

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "engine/kernel_loops.hpp"
#include "engine/lanes.hpp"
#include "engine/team.hpp"
#include "engine/tile_types.hpp"
#include "engine/transpose.hpp"

namespace prune_sweep {

namespace {

using c10::BFloat16;
using tiles::Arithmetic;
using tiles::Word;

/// Products of blocks of one weight's rows with panels. T is what weights are stored in, C what
/// they are multiplied in.
template <typename T, typename C>
class TileProduct {
 public:
  explicit TileProduct(const Panels& x) : x_(x) {}
  ~TileProduct() { tiles::release(x_.arithmetic()); }

  /// Takes rows [first, first + count) of `weight` [any, width].
  void set_rows(const at::Tensor& weight, int64_t first, int64_t count) {
    count_ = count;
    const T* rows = weight.const_data_ptr<T>() + first * x_.width();
    if constexpr (std::is_same_v<T, C>) {
      rows_ = rows;
    } else {
      const int64_t size = count * x_.width();
      widened_.resize(static_cast<size_t>(size));
      std::copy(rows, rows + size, widened_.begin());
      rows_ = widened_.data();
    }
  }

  /// Sums [count][columns of the panel].
  const float* sums(int64_t panel) {
    const int64_t columns = x_.columns(panel);
    tiles::multiply(
        count_,
        columns,
        x_.width(),
        rows_,
        x_.width(),
        x_.panel(panel),
        columns,
        sums_.data(),
        columns,
        tiles::Into::kReplace);
    return sums_.data();
  }

 private:
  const Panels& x_;
  int64_t count_ = 0;
  const C* rows_ = nullptr;
  std::vector<C> widened_;
  std::vector<float> sums_ = std::vector<float>(kWeightRows * Panels::kRows);
};

/// Blocks of the rows of several weights x groups of panels: the tasks of a product.
class Tasks {
 public:
  struct Task {
    size_t weight;
    int64_t first;
    int64_t count;
    int64_t first_panel;
    int64_t last_panel;
  };

  void add(size_t weight, int64_t out_width) {
    for (int64_t first = 0; first < out_width; first += kWeightRows) {
      blocks_.push_back({weight, first, std::min(kWeightRows, out_width - first), 0, 0});
    }
  }

  /// Calls `f`(counter of tasks) from several threads.
  template <typename F>
  void run(int64_t num_panels, F f) {
    // A few blocks for each thread would leave some idle at the end.
    constexpr int64_t kTasksPerThread = 8;
    const auto num_blocks = std::ssize(blocks_);
    const int64_t wanted = kTasksPerThread * at::get_num_threads();
    groups_ = std::clamp<int64_t>((wanted + num_blocks - 1) / num_blocks, 1, num_panels);
    num_panels_ = num_panels;
    share_tasks(num_blocks * groups_, 1, f);
  }

  Task at(int64_t index) const {
    Task task = blocks_[static_cast<size_t>(index / groups_)];
    const int64_t group = index % groups_;
    task.first_panel = num_panels_ * group / groups_;
    task.last_panel = num_panels_ * (group + 1) / groups_;
    return task;
  }

 private:
  std::vector<Task> blocks_;
  int64_t groups_ = 1;
  int64_t num_panels_ = 0;
};

/// Calls use(rows of out, [16] lanes of one row, number of them, column) for a tile's elements,
/// sixteen of a row at a time.
template <typename Use>
PRUNE_SWEEP_INLINE void for_rows_of(
    const float* sums, int64_t count, int64_t columns, int64_t rows, Use use) {
  for (int64_t row = 0; row < rows; row += kLanes) {
    const int64_t num_rows = rows - row < kLanes ? rows - row : kLanes;
    for (int64_t column = 0; column < count; column += kLanes) {
      const int64_t num_columns = count - column < kLanes ? count - column : kLanes;
      LaneSquare square{};
      for (int64_t i = 0; i < num_columns; ++i) {
        std::memcpy(
            &square[static_cast<size_t>(i)], sums + (column + i) * columns + row, sizeof(LaneBits));
      }
      transpose(square);
      for (int64_t i = 0; i < num_rows; ++i) {
        use(row + i, column, from_bits(square[static_cast<size_t>(i)]), num_columns);
      }
    }
  }
}

template <typename T>
PRUNE_SWEEP_INLINE void store_rows(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    const T* bias,
    T* out,
    int64_t out_width) {
  for_rows_of(
      sums,
      count,
      columns,
      rows,
      [&](int64_t row, int64_t column, Lanes sum, int64_t n) PRUNE_SWEEP_INLINE_LAMBDA {
        if (bias != nullptr) sum += load(bias + column, n);
        store(out + row * out_width + column, sum, n);
      });
}
PRUNE_SWEEP_CLONES void store_tile(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    const float* bias,
    float* out,
    int64_t out_width) {
  store_rows(sums, count, columns, rows, bias, out, out_width);
}
PRUNE_SWEEP_CLONES void store_tile(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    const BFloat16* bias,
    BFloat16* out,
    int64_t out_width) {
  store_rows(sums, count, columns, rows, bias, out, out_width);
}

template <typename T>
PRUNE_SWEEP_INLINE void add_rows(
    const float* sums, int64_t count, int64_t columns, int64_t rows, T* out, int64_t out_width) {
  for_rows_of(
      sums,
      count,
      columns,
      rows,
      [&](int64_t row, int64_t column, Lanes sum, int64_t n) PRUNE_SWEEP_INLINE_LAMBDA {
        T* at = out + row * out_width + column;
        store(at, load(at, n) + rounded_to<T>(sum), n);
      });
}
PRUNE_SWEEP_CLONES void add_tile(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    float* out,
    int64_t out_width) {
  add_rows(sums, count, columns, rows, out, out_width);
}
PRUNE_SWEEP_CLONES void add_tile(
    const float* sums,
    int64_t count,
    int64_t columns,
    int64_t rows,
    BFloat16* out,
    int64_t out_width) {
  add_rows(sums, count, columns, rows, out, out_width);
}

/// SiLU(gate) * up of two tiles as words of a panel [any][columns] of the next product.
template <typename T, typename C>
PRUNE_SWEEP_INLINE void gate_words(
    const float* gate, const float* up, int64_t count, int64_t columns, Word* to) {
  const auto inner = [&](int64_t row, int64_t column) PRUNE_SWEEP_INLINE_LAMBDA {
    const int64_t at = row * columns + column;
    return silu_mul_lanes<T>(rounded_to<T>(load(gate + at)), rounded_to<T>(load(up + at)));
  };
  for (int64_t row = 0; row < count; row += tiles::kPerWord<C>) {
    for (int64_t column = 0; column < columns; column += kLanes) {
      LaneBits words;
      if constexpr (std::is_same_v<C, BFloat16>) {
        words = bfloat16_bits(inner(row, column)) & 0xffff;
        if (row + 1 < count) words |= bfloat16_bits(inner(row + 1, column)) << 16;
      } else {
        words = to_bits(rounded_to<T>(inner(row, column)));
      }
      std::memcpy(to + row / tiles::kPerWord<C> * columns + column, &words, sizeof words);
    }
  }
}
PRUNE_SWEEP_CLONES void gate_tile(
    float, float, const float* gate, const float* up, int64_t count, int64_t columns, Word* to) {
  gate_words<float, float>(gate, up, count, columns, to);
}
PRUNE_SWEEP_CLONES void gate_tile(
    BFloat16, float, const float* gate, const float* up, int64_t count, int64_t columns, Word* to) {
  gate_words<BFloat16, float>(gate, up, count, columns, to);
}
PRUNE_SWEEP_CLONES void gate_tile(
    BFloat16,
    BFloat16,
    const float* gate,
    const float* up,
    int64_t count,
    int64_t columns,
    Word* to) {
  gate_words<BFloat16, BFloat16>(gate, up, count, columns, to);
}

/// Calls on_tile(weight, first row of it, count, panel, sums) for all tiles of the products, from
/// several threads.
template <typename T, typename C, typename F>
void for_tiles(const Panels& x, std::span<const at::Tensor* const> weights, F on_tile) {
  Tasks tasks;
  for (size_t i = 0; i < weights.size(); ++i) tasks.add(i, weights[i]->size(0));
  tasks.run(x.size(), [&](TaskCounter& counter) {
    TileProduct<T, C> product(x);
    for (int64_t index = 0; counter.take(index);) {
      const auto task = tasks.at(index);
      product.set_rows(*weights[task.weight], task.first, task.count);
      for (int64_t panel = task.first_panel; panel < task.last_panel; ++panel) {
        on_tile(task.weight, task.first, task.count, panel, product.sums(panel));
      }
    }
  });
}

}  // namespace

void project(const Panels& x, std::span<const Projection> projections) {
  std::vector<const at::Tensor*> weights;
  for (const Projection& projection : projections) weights.push_back(&projection.weight);
  with_tile_types(
      weights.front()->scalar_type(), x.arithmetic(), [&](auto stored, auto multiplied) {
        using T = decltype(stored);
        struct Target {
          T* out;
          const T* bias;
          int64_t width;
        };
        std::vector<Target> targets;
        for (const Projection& projection : projections) {
          const bool has_bias = projection.bias.defined();
          targets.push_back(
              {projection.out.data_ptr<T>(),
               has_bias ? projection.bias.const_data_ptr<T>() : nullptr,
               projection.weight.size(0)});
        }
        for_tiles<T, decltype(multiplied)>(
            x,
            weights,
            [&](size_t weight, int64_t first, int64_t count, int64_t panel, const float* sums) {
              const auto& [out, bias, width] = targets[weight];
              store_tile(
                  sums,
                  count,
                  x.columns(panel),
                  x.rows_of(panel),
                  bias != nullptr ? bias + first : nullptr,
                  out + panel * Panels::kRows * width + first,
                  width);
            });
      });
}

void add_product(const Panels& x, const at::Tensor& weight, at::Tensor hidden) {
  with_tile_types(weight.scalar_type(), x.arithmetic(), [&](auto stored, auto multiplied) {
    using T = decltype(stored);
    T* const out = hidden.data_ptr<T>();
    const int64_t width = hidden.size(1);
    const at::Tensor* const weights = &weight;
    for_tiles<T, decltype(multiplied)>(
        x,
        {&weights, 1},
        [&](size_t, int64_t first, int64_t count, int64_t panel, const float* sums) {
          T* at = out + panel * Panels::kRows * width + first;
          add_tile(sums, count, x.columns(panel), x.rows_of(panel), at, width);
        });
  });
}

void gated_product(const Panels& x, const at::Tensor& gate, const at::Tensor& up, Panels& inner) {
  inner.reshape(x.num_rows(), gate.size(0));
  with_tile_types(gate.scalar_type(), x.arithmetic(), [&](auto stored, auto multiplied) {
    using T = decltype(stored);
    using C = decltype(multiplied);
    Tasks tasks;
    tasks.add(0, gate.size(0));
    tasks.run(x.size(), [&](TaskCounter& counter) {
      TileProduct<T, C> of_gate(x);
      TileProduct<T, C> of_up(x);
      for (int64_t index = 0; counter.take(index);) {
        const auto task = tasks.at(index);
        of_gate.set_rows(gate, task.first, task.count);
        of_up.set_rows(up, task.first, task.count);
        for (int64_t panel = task.first_panel; panel < task.last_panel; ++panel) {
          const int64_t columns = x.columns(panel);
          Word* to = inner.panel(panel) + task.first / tiles::kPerWord<C> * columns;
          gate_tile(
              stored, multiplied, of_gate.sums(panel), of_up.sums(panel), task.count, columns, to);
        }
      }
    });
  });
}

void for_tiles_here(
    const Panels& x,
    const at::Tensor& weight,
    int64_t first,
    int64_t count,
    const OnTile& on_tile) {
  with_tile_types(weight.scalar_type(), x.arithmetic(), [&](auto stored, auto multiplied) {
    TileProduct<decltype(stored), decltype(multiplied)> product(x);
    for (int64_t block = first; block < first + count; block += kWeightRows) {
      const int64_t rows = std::min(kWeightRows, first + count - block);
      product.set_rows(weight, block, rows);
      for (int64_t panel = 0; panel < x.size(); ++panel) {
        on_tile({block, rows, panel, product.sums(panel)});
      }
    }
  });
}

}  // namespace prune_sweep
