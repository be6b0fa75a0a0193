#include "engine/pruner.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "catch.hpp"
#include "engine/random_model.hpp"

using namespace prune_sweep;

namespace {

using Values = std::vector<float>;

const std::vector<std::string> kNames{
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj"};

/// small_config() with two layers and given linear weights: [layers][linear weights].
class SmallModel {
 public:
  SmallModel(const std::vector<std::vector<Values>>& weights, const std::string& dtype) {
    OrderedJson config = small_config();
    config["num_hidden_layers"] = weights.size();
    std::vector<FileTensor> tensors;
    for (FileTensor tensor : small_tensors()) {
      const bool in_layer = tensor.name.starts_with("model.layers.");
      for (size_t layer = 0; layer < (in_layer ? weights.size() : 1); ++layer) {
        FileTensor copy = tensor;
        if (in_layer) copy.name.replace(13, 1, std::to_string(layer));
        for (size_t i = 0; i < kNames.size(); ++i) {
          if (tensor.name.find(kNames[i]) == std::string::npos) continue;
          copy.dtype = dtype;
          copy.bytes = stored(weights[layer][i], dtype);
        }
        tensors.push_back(std::move(copy));
      }
    }
    dir_.write("config.json", config.dump());
    dir_.write("model.safetensors", safetensors_of(tensors));
    config_ = read_model_config(dir_.path());
  }

  Weights load(at::ScalarType dtype) const {
    return Weights(Checkpoint::open(dir_.path(), config_), config_, dtype, at::kCPU);
  }

 private:
  static std::string stored(const Values& values, const std::string& dtype) {
    if (dtype != "F16") return stored_bytes(values, dtype);
    std::string bytes;
    for (const float value : values) {
      const c10::Half half(value);
      bytes.append(reinterpret_cast<const char*>(&half.x), 2);
    }
    return bytes;
  }

  TempDir dir_;
  ModelConfig config_;
};

int64_t size_of_linear(size_t index) {
  const std::vector<int64_t> sizes{16 * 6, 8 * 6, 8 * 6, 6 * 16, 10 * 6, 10 * 6, 6 * 10};
  return sizes[index];
}

/// Values with many ties, zeros of both signs, and denormal numbers; exact in all three types.
Values tied_values(size_t size, uint32_t seed) {
  const Values choices{0.0F, -0.0F, 0.5F, -0.5F, 0.25F, 1.0F, -2.0F, 0.375F, 6.103515625e-05F};
  std::mt19937 random(seed);
  Values values(size);
  for (float& value : values) value = choices[random() % choices.size()];
  return values;
}

/// Values that only float32 can tell apart.
Values fine_values(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Values values(size);
  for (float& value : values) value = 1.0F + 1e-5F * normal(random);
  return values;
}

std::vector<std::vector<Values>> two_layers(const std::function<Values(size_t, uint32_t)>& make) {
  std::vector<std::vector<Values>> weights(2);
  uint32_t seed = 0;
  for (auto& layer : weights) {
    for (size_t i = 0; i < kNames.size(); ++i) {
      layer.push_back(make(static_cast<size_t>(size_of_linear(i)), ++seed));
    }
  }
  return weights;
}

/// The definition: order by magnitude, ties by place; the first `count` become zero.
void zero_smallest(std::vector<float*> ranked, int64_t count) {
  std::stable_sort(ranked.begin(), ranked.end(), [](const float* a, const float* b) {
    return std::abs(*a) < std::abs(*b);
  });
  for (int64_t i = 0; i < count; ++i) *ranked[static_cast<size_t>(i)] = 0;
}

/// The weights as the definition says they must become.
std::vector<std::vector<Values>> expected_weights(
    std::vector<std::vector<Values>> weights, MagnitudeScope scope, Percent amount) {
  std::vector<float*> all;
  for (auto& layer : weights) {
    for (size_t i = 0; i < layer.size(); ++i) {
      std::vector<float*> tensor;
      for (float& value : layer[i]) tensor.push_back(&value);
      all.insert(all.end(), tensor.begin(), tensor.end());
      if (scope == MagnitudeScope::kTensor) zero_smallest(tensor, amount.of(std::ssize(tensor)));
      if (scope != MagnitudeScope::kRow) continue;
      const std::vector<size_t> columns{6, 6, 6, 16, 6, 6, 10};
      for (size_t first = 0; first < tensor.size(); first += columns[i]) {
        const auto begin = tensor.begin() + static_cast<std::ptrdiff_t>(first);
        const std::vector<float*> row(begin, begin + static_cast<std::ptrdiff_t>(columns[i]));
        zero_smallest(row, amount.of(std::ssize(row)));
      }
    }
  }
  if (scope == MagnitudeScope::kGlobal) zero_smallest(all, amount.of(std::ssize(all)));
  return weights;
}

Edit magnitude(int32_t layer, Percent amount, MagnitudeScope scope) {
  return {.layer = layer, .kind = EditKind::kMagnitude, .amount = amount, .scope = scope};
}

Variant both_layers(Percent amount, MagnitudeScope scope) {
  return {"test", {magnitude(0, amount, scope), magnitude(1, amount, scope)}};
}

Values values_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kFloat).contiguous();
  return {flat.const_data_ptr<float>(), flat.const_data_ptr<float>() + flat.numel()};
}

int64_t count_zeros(const LayerWeights& layer) {
  int64_t zeros = 0;
  for (const LinearWeight& linear : kLinearWeights) {
    zeros += (layer.*linear.member).eq(0).sum().item<int64_t>();
  }
  return zeros;
}

const std::vector<std::string> kPercents{
    "0.7", "1", "10", "12.5", "33.333333", "50", "66.6", "90", "99.999999", "100"};

}  // namespace

TEST_CASE("exactly the smallest weights become zero: every scope, type and amount, ties by place") {
  struct Kind {
    std::string dtype;
    std::function<Values(size_t, uint32_t)> make;
  };
  const std::vector<Kind> kinds{
      {"BF16", tied_values}, {"F16", tied_values}, {"F32", tied_values}, {"F32", fine_values}};
  for (const Kind& kind : kinds) {
    const auto weights = two_layers(kind.make);
    const SmallModel model(weights, kind.dtype);
    const Weights loaded = model.load(at::kFloat);
    for (const MagnitudeScope scope :
         {MagnitudeScope::kTensor, MagnitudeScope::kRow, MagnitudeScope::kGlobal}) {
      for (const std::string& percent : kPercents) {
        const Variant variant = both_layers(Percent::parse(percent, "test"), scope);
        const auto expected = expected_weights(weights, scope, variant.edits[0].amount);
        EditedLayers edited(loaded);
        for (const Edit& edit : variant.edits) {
          const LayerWeights pruned = edited.get({{edit, decided_together(variant, edit)}});
          for (size_t i = 0; i < kLinearWeights.size(); ++i) {
            CAPTURE(kind.dtype, static_cast<int>(scope), percent, edit.layer, kNames[i]);
            CHECK(
                values_of(pruned.*kLinearWeights[i].member) ==
                expected[static_cast<size_t>(edit.layer)][i]);
          }
        }
      }
    }
  }
}

TEST_CASE("what is pruned is decided on the stored weights, whatever type is computed in") {
  // All of them are 1 in bfloat16.
  const auto weights = two_layers(fine_values);
  const SmallModel model(weights, "F32");
  const Variant variant = both_layers({50'000'000}, MagnitudeScope::kTensor);
  const Weights exact = model.load(at::kFloat);
  const Weights rounded = model.load(at::kBFloat16);
  EditedLayers exact_layers(exact);
  EditedLayers rounded_layers(rounded);
  const LayerWeights a =
      exact_layers.get({{variant.edits[0], decided_together(variant, variant.edits[0])}});
  const LayerWeights b =
      rounded_layers.get({{variant.edits[0], decided_together(variant, variant.edits[0])}});
  for (const LinearWeight& linear : kLinearWeights) {
    CHECK(at::equal((a.*linear.member).eq(0), (b.*linear.member).eq(0)));
    CHECK((b.*linear.member).scalar_type() == at::kBFloat16);
  }
}

TEST_CASE("zeros grow with the amount and never come back") {
  for (const MagnitudeScope scope :
       {MagnitudeScope::kTensor, MagnitudeScope::kRow, MagnitudeScope::kGlobal}) {
    const SmallModel model(two_layers(tied_values), "BF16");
    const Weights loaded = model.load(at::kBFloat16);
    EditedLayers edited(loaded);
    LayerWeights before = loaded.layer(1);
    for (int percent = 1; percent <= 100; ++percent) {
      const Variant variant = both_layers({percent * int64_t{1'000'000}}, scope);
      const LayerWeights now =
          edited.get({{variant.edits[1], decided_together(variant, variant.edits[1])}});
      CAPTURE(percent, static_cast<int>(scope));
      CHECK(count_zeros(now) >= count_zeros(before));
      for (const LinearWeight& linear : kLinearWeights) {
        const at::Tensor came_back =
            (before.*linear.member).eq(0).logical_and((now.*linear.member).ne(0));
        CHECK_FALSE(came_back.any().item<bool>());
      }
      before = now;
    }
    CHECK(count_zeros(before) == 96 + 48 + 48 + 96 + 60 + 60 + 60);
  }
}

TEST_CASE("a pruned layer shares what is not pruned, and the model keeps its weights") {
  const auto weights = two_layers(tied_values);
  const SmallModel model(weights, "BF16");
  const Weights loaded = model.load(at::kBFloat16);
  const void* q = loaded.layer(0).q.const_data_ptr();
  EditedLayers edited(loaded);
  const Edit edit = magnitude(0, {90'000'000}, MagnitudeScope::kTensor);
  const std::vector<int32_t> own_layer{0};
  const LayerWeights pruned = edited.get({{edit, own_layer}});
  CHECK(pruned.input_norm.const_data_ptr() == loaded.layer(0).input_norm.const_data_ptr());
  CHECK(pruned.q_norm.const_data_ptr() == loaded.layer(0).q_norm.const_data_ptr());
  CHECK(pruned.q.const_data_ptr() != q);
  CHECK(loaded.layer(0).q.const_data_ptr() == q);
  CHECK(values_of(loaded.layer(0).q) == weights[0][0]);
  // Asked for again, it is the same.
  CHECK(edited.get({{edit, own_layer}}).q.const_data_ptr() == pruned.q.const_data_ptr());
}

TEST_CASE("what is zeroed of the model's weights is what copies have as zeros") {
  for (const std::string dtype : {"BF16", "F32"}) {
    const SmallModel model(two_layers(tied_values), dtype);
    for (const at::ScalarType computed : {at::kBFloat16, at::kFloat}) {
      const Weights loaded = model.load(computed);
      for (const MagnitudeScope scope :
           {MagnitudeScope::kTensor, MagnitudeScope::kRow, MagnitudeScope::kGlobal}) {
        for (const std::string& percent : kPercents) {
          const Variant variant = both_layers(Percent::parse(percent, "test"), scope);
          EditedLayers copies(loaded);
          EditedLayers zeros(loaded, /*capacity=*/10, EditedAs::kZeros);
          const DecidedEdit edit{variant.edits[1], decided_together(variant, variant.edits[1])};
          const LayerWeights copied = copies.get({edit});
          const LayerWeights own = zeros.get({edit});
          CHECK(copied.zeros.empty());
          REQUIRE(own.zeros.size() == 1);
          for (size_t i = 0; i < kLinearWeights.size(); ++i) {
            CAPTURE(dtype, c10::toString(computed), static_cast<int>(scope), percent, kNames[i]);
            const at::Tensor& weight = own.*kLinearWeights[i].member;
            CHECK(weight.is_same(loaded.layer(1).*kLinearWeights[i].member));
            const at::Tensor zeroed = at::empty_like(weight);
            const WeightZeros& of_weight = (*own.zeros.front().of_layer)[i];
            const int64_t width = weight.size(1);
            const RowRange all{0, weight.size(0)};
            if (computed == at::kFloat) {
              of_weight.copy(
                  weight.const_data_ptr<float>(), width, all, zeroed.data_ptr<float>(), width);
            } else {
              of_weight.copy(
                  weight.const_data_ptr<c10::BFloat16>(),
                  width,
                  all,
                  zeroed.data_ptr<c10::BFloat16>(),
                  width);
            }
            CHECK(at::equal(zeroed, copied.*kLinearWeights[i].member));
          }
        }
      }
    }
  }
}

TEST_CASE("a layer that is asked for once has the same weights, and none is kept") {
  const SmallModel model(two_layers(tied_values), "BF16");
  const Weights loaded = model.load(at::kBFloat16);
  EditedLayers edited(loaded);
  const std::vector<int32_t> own_layer{0};
  const Edit edit = magnitude(0, {40'000'000}, MagnitudeScope::kRow);
  const LayerWeights kept = edited.get({{edit, own_layer}});
  const LayerWeights once = edited.get_once({{edit, own_layer}});
  const LayerWeights again = edited.get({{edit, own_layer}});
  for (const LinearWeight& linear : kLinearWeights) {
    CHECK(at::equal(once.*linear.member, kept.*linear.member));
    CHECK((again.*linear.member).const_data_ptr() != (kept.*linear.member).const_data_ptr());
    CHECK((again.*linear.member).const_data_ptr() != (once.*linear.member).const_data_ptr());
  }
}

TEST_CASE("several edited layers come side by side, made of the single ones") {
  const SmallModel model(two_layers(tied_values), "BF16");
  const Weights loaded = model.load(at::kBFloat16);
  const auto edit_of = [](int64_t percent) {
    return DecidedEdit{magnitude(1, {percent * 1'000'000}, MagnitudeScope::kTensor), {1}};
  };
  const std::vector<DecidedEdit> edits{edit_of(30), edit_of(80), edit_of(10)};
  for (const int64_t capacity : {1, 100}) {
    EditedLayers edited(loaded, capacity);
    const LayerWeights all = edited.get(edits);
    const LayerWeights once = edited.get_once(edits);
    for (size_t i = 0; i < edits.size(); ++i) {
      const LayerWeights one = edited.get({edits[i]});
      for (const LinearWeight& linear : kLinearWeights) {
        const at::Tensor& of_all = all.*linear.member;
        CHECK(of_all.dim() == 3);
        CHECK(at::equal(of_all[static_cast<int64_t>(i)], one.*linear.member));
        CHECK(at::equal(once.*linear.member, of_all));
      }
    }
    CHECK(all.q_norm.is_same(loaded.layer(1).q_norm));
    // What is multiplied by the same rows is one product still.
    const at::Tensor qkv = adjoining({all.q, all.k, all.v});
    REQUIRE(qkv.defined());
    CHECK(at::equal(qkv, at::cat({all.q, all.k, all.v}, 1)));
    CHECK_FALSE(adjoining({all.q, all.v, all.k}).defined());
  }
}

TEST_CASE("the model's layer with several sets of zeros has each as it is alone") {
  const SmallModel model(two_layers(tied_values), "BF16");
  const Weights loaded = model.load(at::kBFloat16);
  EditedLayers edited(loaded, /*capacity=*/10, EditedAs::kZeros);
  const auto edit_of = [](int64_t percent) {
    return DecidedEdit{magnitude(1, {percent * 1'000'000}, MagnitudeScope::kTensor), {1}};
  };
  const std::vector<DecidedEdit> edits{edit_of(30), edit_of(80), edit_of(10)};
  const LayerWeights all = edited.get(edits);
  CHECK(all.q.is_same(loaded.layer(1).q));
  REQUIRE(all.zeros.size() == edits.size());
  for (size_t i = 0; i < edits.size(); ++i) {
    CHECK(all.zeros[i].of_layer == edited.get({edits[i]}).zeros.front().of_layer);
  }
}

TEST_CASE("edited layers are kept while there is room, the latest used ones longest") {
  const SmallModel model(two_layers(tied_values), "BF16");
  const Weights loaded = model.load(at::kBFloat16);
  EditedLayers edited(loaded, /*capacity=*/2);
  const std::vector<int32_t> own_layer{0};
  const auto get = [&](int percent) {
    const Percent amount{percent * int64_t{1'000'000}};
    return edited.get({{magnitude(0, amount, MagnitudeScope::kTensor), own_layer}}).q;
  };
  // Held on to, so that no other tensor can come to lie at the same place.
  const at::Tensor ten = get(10);
  const at::Tensor twenty = get(20);
  CHECK(get(10).const_data_ptr() == ten.const_data_ptr());
  const at::Tensor thirty = get(30);
  CHECK(get(10).const_data_ptr() == ten.const_data_ptr());
  CHECK(get(30).const_data_ptr() == thirty.const_data_ptr());
  const at::Tensor again = get(20);
  CHECK(again.const_data_ptr() != twenty.const_data_ptr());
  CHECK(at::equal(again, twenty));
}

TEST_CASE("weights are used where they are mapped, and converted only to another type") {
  const SmallModel model(two_layers(tied_values), "BF16");
  const Weights same = model.load(at::kBFloat16);
  const Weights wider = model.load(at::kFloat);
  const auto mapped = [](const Weights& weights) {
    const char* data = static_cast<const char*>(weights.layer(1).down.const_data_ptr());
    return data == weights.stored(1, kLinearWeights[6]).bytes.data();
  };
  CHECK(mapped(same));
  CHECK_FALSE(mapped(wider));
}

TEST_CASE("a global rank is over the layers that have the edit in the variant") {
  const Percent half{50'000'000};
  const Edit own = magnitude(2, half, MagnitudeScope::kGlobal);
  Variant variant{"test", {magnitude(0, half, MagnitudeScope::kGlobal), own}};
  CHECK(decided_together(variant, own) == std::vector<int32_t>{0, 2});
  variant.edits.push_back(magnitude(3, {10'000'000}, MagnitudeScope::kGlobal));
  variant.edits.push_back(magnitude(4, half, MagnitudeScope::kTensor));
  CHECK(decided_together(variant, own) == std::vector<int32_t>{0, 2});
  CHECK(decided_together(variant, variant.edits[3]) == std::vector<int32_t>{4});
}
