#include "engine/linear.hpp"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "engine/aligned_vector.hpp"
#include "engine/team.hpp"
#include "engine/tile_stores.hpp"
#include "engine/tile_types.hpp"

namespace prune_sweep {

namespace {

using tiles::Word;

/// Products of blocks of one weight's rows with panels. T is what weights are stored in, C what
/// they are multiplied in.
template <typename T, typename C>
class TileProduct {
 public:
  explicit TileProduct(const Panels& x) : x_(x) {}
  ~TileProduct() { tiles::release(x_.arithmetic()); }

  /// Takes rows [first, first + count) of `weight` [any, width], for products with `num_panels`
  /// panels.
  void set_rows(const at::Tensor& weight, int64_t first, int64_t count, int64_t num_panels) {
    count_ = count;
    const T* rows = weight.const_data_ptr<T>() + first * x_.width();
    if constexpr (std::is_same_v<T, C>) {
      rows_ = rows;
      // A checkpoint's tensors begin anywhere. One product alone does not pay for a copy.
      const bool is_aligned = reinterpret_cast<uintptr_t>(rows) % kCacheLineBytes == 0;
      if (is_aligned || num_panels == 1) return;
    }
    copied_.assign(rows, rows + count * x_.width());
    rows_ = copied_.data();
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
  AlignedVector<C> copied_;
  AlignedVector<float> sums_ = AlignedVector<float>(kWeightRows * Panels::kRows);
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

    int64_t num_panels() const { return last_panel - first_panel; }
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
      product.set_rows(*weights[task.weight], task.first, task.count, task.num_panels());
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
        of_gate.set_rows(gate, task.first, task.count, task.num_panels());
        of_up.set_rows(up, task.first, task.count, task.num_panels());
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
      product.set_rows(weight, block, rows, x.size());
      for (int64_t panel = 0; panel < x.size(); ++panel) {
        on_tile({block, rows, panel, product.sums(panel)});
      }
    }
  });
}

}  // namespace prune_sweep
