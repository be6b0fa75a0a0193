#include "prune_sweep/engine/engine.hpp"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "engine/batches.hpp"
#include "engine/decode.hpp"
#include "engine/decoder.hpp"
#include "engine/loglik.hpp"
#include "engine/phase_clock.hpp"
#include "engine/plain/cuda_library.hpp"
#include "engine/pruner.hpp"
#include "engine/streams.hpp"
#include "engine/weights.hpp"
#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

at::Device find_device(DeviceKind kind) {
  if (kind != DeviceKind::kCuda) return at::kCPU;
  load_cuda_library();
  return at::kCUDA;
}

/// Variants that may share streams, as indices. A global magnitude edit means another thing in a
/// variant where other layers have it too, so only variants with the same global edits go together.
std::vector<std::vector<size_t>> shareable(std::span<const Variant> variants, Use fork) {
  if (fork == Use::kOff) {
    std::vector<std::vector<size_t>> alone;
    for (size_t i = 0; i < variants.size(); ++i) alone.push_back({i});
    return alone;
  }
  std::map<std::string, std::vector<size_t>> by_global_edits;
  for (size_t i = 0; i < variants.size(); ++i) {
    std::vector<Edit> global;
    for (const Edit& edit : variants[i].edits) {
      if (edit.scope == MagnitudeScope::kGlobal) global.push_back(edit);
    }
    by_global_edits[effective_edits_text(global)].push_back(i);
  }
  std::vector<std::vector<size_t>> groups;
  for (auto& [text, indices] : by_global_edits) groups.push_back(std::move(indices));
  return groups;
}

/// Every token of every stream goes through all of them.
int64_t num_edited_layers(const StreamTree& tree) {
  int64_t count = 0;
  for (const std::vector<Branch>& level : tree.levels) {
    for (const auto& group :
         group_by_edit(level, [](const Branch& branch) { return branch.edit; })) {
      const std::optional<Edit>& edit = level[static_cast<size_t>(group.front())].edit;
      if (edit && info(edit->kind).effect.changes_weights) ++count;
    }
  }
  return count;
}

std::vector<Variant> picked(std::span<const Variant> variants, std::span<const size_t> indices) {
  std::vector<Variant> result;
  for (const size_t index : indices) result.push_back(variants[index]);
  return result;
}

/// On a device work is queued in a stream other than the default one, which cannot be recorded
/// (StepGraph).
std::optional<c10::Stream> make_stream(at::Device device) {
  if (device.is_cpu()) return std::nullopt;
  const c10::impl::VirtualGuardImpl guard(device.type());
  return guard.getStreamFromGlobalPool(guard.getDevice());
}

/// How a call of the engine computes.
class Session {
 public:
  explicit Session(const std::optional<c10::Stream>& stream) : stream_(stream) {}

 private:
  c10::InferenceMode without_gradients_;
  c10::OptionalStreamGuard stream_;
};

enum class KeepEdits : uint8_t { kNo, kYes };

using Scores = std::vector<std::vector<std::vector<ContinuationScore>>>;
using Answers = std::vector<std::vector<Generation>>;  // [variants][requests answered]

/// How much work is done at once.
struct Room {
  int64_t max_unit_bytes;
  int64_t row_block;
};

/// As it is set for a CPU; of a device's memory, what the weights leave of all there is: what is
/// free now depends on others, and the bits of results on what is computed together.
Room find_room(const EngineSettings& settings, const ModelConfig& config, const Weights& weights) {
  const at::Tensor& like = weights.embedding();
  if (like.is_cpu()) return {settings.max_unit_bytes, settings.savings.row_block};
  const auto total_bytes =
      static_cast<int64_t>(at::accelerator::getMemoryInfo(like.device().index()).second);
  const int64_t left_bytes = std::max<int64_t>(0, total_bytes - weights.num_bytes());
  // Half is for what a unit holds; an eighth for what is inside the MLP, three tensors at once.
  const auto inner_bytes = int64_t{3} * config.intermediate * like.element_size();
  return {
      left_bytes / 2, std::max<int64_t>(settings.savings.row_block, left_bytes / 8 / inner_bytes)};
}

/// Edited copies that are kept: as many as there is room for on a CPU; on a device, in half of what
/// a unit may hold.
std::optional<int64_t> copies_capacity(const Weights& weights, const Room& room) {
  if (weights.embedding().is_cpu()) return std::nullopt;
  return std::max<int64_t>(1, room.max_unit_bytes / 2 / weights.edited_bytes());
}

EditedLayers make_edited_layers(const Weights& weights, const Backend& backend, const Room& room) {
  // Decided row by row, zeros of a layer of a small model take 200 KB, else hardly anything.
  constexpr int64_t kMostZeros = 1024;
  if (backend.reads_zeros()) return EditedLayers(weights, kMostZeros, EditedAs::kZeros);
  return EditedLayers(weights, copies_capacity(weights, room));
}

/// Calls `work`(tree) and gives every variant the answers of its stream: [streams] => [variants].
template <typename Work>
auto for_variants(std::span<const Variant> variants, int32_t num_layers, Work work) {
  const StreamTree tree = build_stream_tree(variants, num_layers);
  const auto of_stream = work(tree);
  typename std::remove_const<decltype(of_stream)>::type of_variant;
  for (const int32_t stream : tree.stream_of_variant) {
    of_variant.push_back(of_stream[static_cast<size_t>(stream)]);
  }
  return of_variant;
}

/// Calls `work`(variants) for groups that may share streams and puts the answers in the variants'
/// order.
template <typename Work>
auto for_groups(std::span<const Variant> variants, Use fork, Work work) {
  decltype(work(std::vector<Variant>{})) all(variants.size());
  for (const std::vector<size_t>& group : shareable(variants, fork)) {
    auto part = work(picked(variants, group));
    for (size_t i = 0; i < group.size(); ++i) all[group[i]] = std::move(part[i]);
  }
  return all;
}

}  // namespace

struct Engine::State {
  State(
      const std::filesystem::path& model_dir,
      const EngineSettings& settings,
      EngineHooks its_hooks,
      at::Device device,
      const std::optional<c10::Stream>& its_stream)
      : stream(its_stream),
        config(read_model_config(model_dir)),
        savings(settings.savings),
        hooks(std::move(its_hooks)),
        weights(Checkpoint::open(model_dir, config), config, scalar_type(settings.dtype), device),
        room(find_room(settings, config, weights)),
        backend(make_backend(
            config,
            weights,
            settings.operations,
            settings.savings,
            room.row_block,
            hooks.on_progress)),
        edited_layers(make_edited_layers(weights, *backend, room)),
        decoder(config, weights, *backend) {}

  /// For a pass through `tree`, which asks for every layer once: those of the pass before are of
  /// use only where there is room for all.
  KeepEdits keep_edits(const StreamTree& tree) const {
    const bool is_room = num_kept_layers(tree) <= edited_layers.capacity();
    return is_room ? KeepEdits::kYes : KeepEdits::kNo;
  }
  /// Edited layers that are then kept: where they also go side by side, twice.
  int64_t num_kept_layers(const StreamTree& tree) const {
    const int64_t num_edited = num_edited_layers(tree);
    return backend->is_queued() && num_edited > config.num_layers ? 2 * num_edited : num_edited;
  }

  /// Edited layers of variants that may share streams.
  EditedLayer edited_layer(std::span<const Variant> variants, KeepEdits keep) {
    return [this, variants, keep](const std::vector<Edit>& edits) {
      const InPhase in_edit(clock, Phase::kEdit);
      std::vector<DecidedEdit> decided;
      for (const Edit& edit : edits) {
        // Any variant with the edit tells which layers decide together.
        const auto has_edit = [&edit](const Variant& variant) {
          const Edit* own = variant.edit_of(edit.layer);
          return own != nullptr && *own == edit;
        };
        const Variant& variant = *std::find_if(variants.begin(), variants.end(), has_edit);
        decided.push_back({edit, decided_together(variant, edit)});
      }
      return keep == KeepEdits::kYes ? edited_layers.get(decided) : edited_layers.get_once(decided);
    };
  }

  /// `num_more` tokens will follow those of `ids`.
  void require_ids(std::span<const int32_t> ids, size_t num_more, size_t request) const {
    const std::string where = "request " + std::to_string(request);
    if (ids.empty()) bad_input(where, "no tokens");
    if (std::ssize(ids) + static_cast<int64_t>(num_more) > config.max_positions) {
      bad_input(
          where,
          std::to_string(ids.size() + num_more) + " tokens, but max_position_embeddings is " +
              std::to_string(config.max_positions));
    }
    for (const int32_t id : ids) {
      if (id < 0 || id >= config.vocab_size) {
        bad_input(where, "token " + std::to_string(id) + " is not in the model's vocabulary");
      }
    }
  }

  /// Whether the variants' edited layers fit, and keys and values of the requests beside them;
  /// edited layers get three quarters of the room at most.
  bool fits(const StreamTree& tree, std::span<const GenerationRequest> requests) const {
    const int64_t num_edited = num_kept_layers(tree);
    return num_edited <= edited_layers.capacity() &&
           generation_kv_bytes(*backend, tree, requests, savings.prefix) <=
               std::max(
                   room.max_unit_bytes - edited_layers.num_bytes(num_edited),
                   room.max_unit_bytes / 4);
  }

  Cut cut_of(std::span<const Variant> variants, std::span<const GenerationRequest> requests) const {
    if (savings.batch_decode == Use::kOff) return {1, requests.size()};
    const auto tree_of = [&](Part part) {
      return build_stream_tree(variants.subspan(part.first, part.count), config.num_layers);
    };
    return choose_cut(
        variants.size(),
        requests.size(),
        [&](Part part, size_t count) { return fits(tree_of(part), requests.first(count)); },
        [&](Part part, size_t count) {
          return generation_cost(
              config, weights, tree_of(part), requests.first(count), savings.prefix);
        });
  }

  /// Calls `work`(variants, requests); when a device has not memory enough, for halves, see
  /// work_in_parts().
  template <typename Request, typename ShouldStop, typename Work>
  auto work_within_memory(
      std::span<const Variant> variants,
      std::span<const Request> requests,
      ShouldStop should_stop,
      Work work) -> decltype(work(variants, requests)) {
    try {
      return work(variants, requests);
    } catch (const c10::OutOfMemoryError&) {
      if (variants.size() == 1 && requests.size() == 1) throw;
      edited_layers.drop_copies();
    }
    const Cut halves = requests.size() > 1 ? Cut{1, 2} : Cut{2, 1};
    return work_in_parts(variants, requests, halves, should_stop, [&](auto some, auto asked) {
      return work_within_memory(some, asked, should_stop, work);
    });
  }

  Answers generate_batch(
      std::span<const Variant> variants,
      std::span<const GenerationRequest> requests,
      const Tokenizer& tokenizer) {
    return for_variants(variants, config.num_layers, [&](const StreamTree& tree) {
      if (num_edited_layers(tree) == 0) edited_layers.drop_copies();
      const bool are_kept = keep_edits(tree) == KeepEdits::kYes;
      return generate_streams(
          decoder,
          edited_layer(variants, KeepEdits::kYes),
          tree,
          requests,
          tokenizer,
          {savings.prefix,
           are_kept ? savings.graphs : Use::kOff,
           are_kept && backend->is_queued() ? Use::kOn : Use::kOff},
          clock);
    });
  }

  Answers generate(
      std::span<const Variant> variants,
      std::span<const GenerationRequest> requests,
      const Tokenizer& tokenizer) {
    const auto generate_some = [&](auto some, auto asked) {
      return work_within_memory(some, asked, hooks.should_stop, [&](auto fewer, auto fewer_asked) {
        return generate_batch(fewer, fewer_asked, tokenizer);
      });
    };
    return work_in_parts(
        variants, requests, cut_of(variants, requests), hooks.should_stop, generate_some);
  }

  Scores score_batch(std::span<const Variant> variants, std::span<const LoglikRequest> requests) {
    return for_variants(variants, config.num_layers, [&](const StreamTree& tree) {
      return score_streams(
          decoder, edited_layer(variants, keep_edits(tree)), tree, requests, savings.prefix, clock);
    });
  }

  /// In how many parts requests are scored: hidden states of all streams, before a layer and behind
  /// it, get half of the room.
  size_t num_score_parts(
      std::span<const Variant> variants, std::span<const LoglikRequest> requests) const {
    size_t widest = 0;
    for (const auto& level : build_stream_tree(variants, config.num_layers).levels) {
      widest = std::max(widest, level.size());
    }
    const int64_t row_bytes = int64_t{2} * static_cast<int64_t>(widest) * config.hidden *
                              weights.embedding().element_size();
    const auto fits = [&](size_t count) {
      const int64_t rows = num_loglik_rows(requests.first(count), savings.prefix);
      return rows * row_bytes <= room.max_unit_bytes / 2;
    };
    return fewest_parts(requests.size(), fits).value_or(requests.size());
  }

  /// Every request is answered.
  Scores score(std::span<const Variant> variants, std::span<const LoglikRequest> requests) {
    // Who wants none of it any more is heard between batches.
    const auto never_stop = [this] {
      hooks.should_stop();
      return false;
    };
    const Cut cut{1, num_score_parts(variants, requests)};
    return work_in_parts(variants, requests, cut, never_stop, [&](auto some, auto asked) {
      return work_within_memory(some, asked, never_stop, [&](auto fewer, auto fewer_asked) {
        return score_batch(fewer, fewer_asked);
      });
    });
  }

  /// Most of what a device loads when it first scores something, it loads now: two prompts that
  /// share half of their tokens, as many as the model takes.
  void warm_up() {
    const int64_t length = std::clamp<int64_t>(config.max_positions - 1, 1, 1024);
    const std::vector<Variant> unedited(1);
    std::vector<LoglikRequest> requests(
        2, {std::vector<int32_t>(static_cast<size_t>(length), 0), {{0}}});
    std::fill(
        requests.back().context.begin() + length / 2,
        requests.back().context.end(),
        config.vocab_size - 1);
    score(unedited, requests);
    clock.take();
  }

  std::optional<c10::Stream> stream;
  ModelConfig config;
  Savings savings;
  PhaseClock clock;
  EngineHooks hooks;
  Weights weights;
  Room room;
  std::unique_ptr<Backend> backend;
  EditedLayers edited_layers;
  Decoder decoder;
};

Engine::Engine(
    const std::filesystem::path& model_dir, const EngineSettings& settings, EngineHooks hooks) {
  if (settings.num_threads > 0) at::set_num_threads(settings.num_threads);
  const at::Device device = find_device(settings.device);
  const std::optional<c10::Stream> stream = make_stream(device);
  const Session session(stream);
  // Nobody is told of progress before there is work.
  state_ = std::make_unique<State>(model_dir, settings, EngineHooks(), device, stream);
  if (!device.is_cpu()) state_->warm_up();
  state_->hooks = std::move(hooks);
}

Engine::~Engine() = default;

const ModelConfig& Engine::config() const { return state_->config; }

PhaseSeconds Engine::take_phases() { return state_->clock.take(); }

std::string Engine::torch_version() { return TORCH_VERSION; }

std::vector<std::vector<std::vector<ContinuationScore>>> Engine::loglik(
    std::span<const Variant> variants, std::span<const LoglikRequest> requests) {
  const Session session(state_->stream);
  for (size_t i = 0; i < requests.size(); ++i) {
    if (requests[i].continuations.empty()) {
      bad_input("request " + std::to_string(i), "no continuations");
    }
    for (const std::vector<int32_t>& continuation : requests[i].continuations) {
      state_->require_ids(requests[i].context, continuation.size(), i);
      state_->require_ids(continuation, 0, i);
    }
  }
  if (requests.empty()) return {variants.size(), std::vector<std::vector<ContinuationScore>>{}};
  return for_groups(variants, state_->savings.fork, [&](const std::vector<Variant>& group) {
    return state_->score(group, requests);
  });
}

std::vector<std::vector<Generation>> Engine::generate(
    std::span<const Variant> variants,
    std::span<const GenerationRequest> requests,
    const Tokenizer& tokenizer) {
  const Session session(state_->stream);
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto num_new = static_cast<size_t>(std::max(0, requests[i].max_new_tokens));
    state_->require_ids(requests[i].prompt, std::max(num_new, requests[i].solution.size()), i);
    if (!requests[i].solution.empty()) state_->require_ids(requests[i].solution, 0, i);
  }
  if (requests.empty()) return {variants.size(), std::vector<Generation>{}};
  // One answer after the other: nothing of a batch is left.
  const bool is_batch = state_->savings.batch_decode == Use::kOn;
  const Use fork = is_batch ? state_->savings.fork : Use::kOff;
  Answers answers = for_groups(variants, fork, [&](const std::vector<Variant>& group) {
    Answers part = state_->generate(group, requests, tokenizer);
    // Nobody wants answers of the other groups that this one does not have.
    requests = requests.first(part.front().size());
    return part;
  });
  keep_common(answers);
  return answers;
}

std::vector<std::pair<int32_t, float>> Engine::next_token(
    const Variant& variant, std::span<const int32_t> ids, int32_t count) {
  const Session session(state_->stream);
  state_->require_ids(ids, 0, 0);
  const std::vector<int32_t> sequence(ids.begin(), ids.end());
  const std::span<const Variant> variants(&variant, 1);
  const StreamTree tree = build_stream_tree(variants, state_->config.num_layers);
  const PackedRows packed = pack_rows({&sequence, 1});
  const std::vector<int64_t> last_row{packed.num_rows() - 1};
  const auto kv = state_->backend->make_kv(packed, last_row, tree, KeepKv::kNo);
  const std::vector<at::Tensor> states = run_streams(
      state_->decoder,
      state_->edited_layer(variants, state_->keep_edits(tree)),
      tree,
      packed,
      last_row,
      *kv,
      state_->clock);
  const std::vector<float> logprobs = state_->backend->head().logprobs(states.front());

  std::vector<int32_t> order(logprobs.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + std::clamp<int64_t>(count, 0, std::ssize(order));
  const auto likelier = [&](int32_t a, int32_t b) {
    const float of_a = logprobs[static_cast<size_t>(a)];
    const float of_b = logprobs[static_cast<size_t>(b)];
    return of_a > of_b || (of_a == of_b && a < b);
  };
  std::partial_sort(order.begin(), end, order.end(), likelier);
  std::vector<std::pair<int32_t, float>> best;
  for (auto id = order.begin(); id != end; ++id) {
    best.emplace_back(*id, logprobs[static_cast<size_t>(*id)]);
  }
  return best;
}

}  // namespace prune_sweep
