#include "prune_sweep/core/stream_tree.hpp"

#include <random>
#include <set>

#include "catch.hpp"

using namespace prune_sweep;

namespace {

Variant variant(const std::string& text, int32_t num_layers = 28) {
  return {text, parse_edits(text, num_layers, MagnitudeScope::kTensor, "test")};
}

std::vector<Variant> variants(const std::vector<std::string>& texts, int32_t num_layers = 28) {
  std::vector<Variant> list;
  for (const std::string& text : texts) list.push_back(variant(text, num_layers));
  return list;
}

std::vector<Variant> baseline_and_single_drops() {
  std::vector<std::string> texts{""};
  for (int layer = 0; layer < 28; ++layer) texts.push_back(std::to_string(layer) + " drop");
  return variants(texts);
}

LayerPasses passes_of(const std::vector<Variant>& list, int32_t num_layers = 28) {
  return count_passes(build_stream_tree(list, num_layers));
}

double layers_alone(const std::vector<Variant>& list) {
  double sum = 0;
  for (const Variant& one : list) sum += count_passes_alone(one, 28).layers();
  return sum;
}

/// What decides a variant's stream after `layer`: its edits up to there that change something.
std::vector<Edit> effective_prefix(const Variant& variant, int32_t layer) {
  std::vector<Edit> prefix;
  for (const Edit& edit : variant.edits) {
    const bool changes = edit.kind != EditKind::kMagnitude || edit.amount.millionths > 0;
    if (edit.layer <= layer && changes) prefix.push_back(edit);
  }
  return prefix;
}

/// The stream of a variant after every layer, found from its last one.
std::vector<int32_t> streams_of(const StreamTree& tree, size_t variant) {
  std::vector<int32_t> streams(tree.levels.size());
  int32_t stream = tree.stream_of_variant[variant];
  for (size_t layer = tree.levels.size(); layer-- > 0;) {
    streams[layer] = stream;
    stream = tree.levels[layer].at(static_cast<size_t>(stream)).from;
  }
  REQUIRE(stream == 0);
  return streams;
}

Variant random_variant(std::mt19937& random, int32_t num_layers) {
  Variant made;
  for (int32_t layer = 0; layer < num_layers; ++layer) {
    if (random() % 3 != 0) continue;
    Edit edit{.layer = layer, .kind = static_cast<EditKind>(random() % 4)};
    if (edit.kind == EditKind::kMagnitude) {
      edit.amount.millionths = static_cast<int64_t>(random() % 3) * 10'000'000;
      edit.scope = static_cast<MagnitudeScope>(random() % 2);
    }
    made.edits.push_back(edit);
  }
  return made;
}

}  // namespace

TEST_CASE("28 single drops and the baseline cost 406 layer passes instead of 784") {
  const auto list = baseline_and_single_drops();
  // After layer l there are l + 2 streams, of which the newest was dropped there: l + 1 passes.
  CHECK(passes_of(list).layers() == 28 * 29 / 2);
  CHECK(passes_of(list).layers() == 406);
  CHECK(layers_alone(list) == 28 + 28 * 27);
  CHECK(layers_alone(list) == 784);
}

TEST_CASE("the baseline alone is one stream") {
  const StreamTree tree = build_stream_tree(variants({""}), 28);
  REQUIRE(tree.levels.size() == 28);
  for (const auto& level : tree.levels) {
    CHECK(level == std::vector<Branch>{{.from = 0, .edit = {}}});
  }
  CHECK(count_passes(tree) == LayerPasses{28, 28});
}

TEST_CASE("no variants need nothing") {
  CHECK(passes_of({}) == LayerPasses{0, 0});
  CHECK(build_stream_tree({}, 28).stream_of_variant.empty());
}

TEST_CASE("a pair forks from the single drop of its first layer") {
  // baseline 28; the drop of 3 forks after it: 24; the pair forks from that after 9: 18.
  CHECK(passes_of(variants({"", "3 drop", "3 drop, 9 drop"})).layers() == 28 + 24 + 18);
  // All pairs of 28 layers: streams before layer l that keep it.
  std::vector<std::string> texts;
  for (int a = 0; a < 28; ++a) {
    for (int b = a + 1; b < 28; ++b) {
      texts.push_back(std::to_string(a) + " drop, " + std::to_string(b) + " drop");
    }
  }
  // Before layer l: one stream with none dropped, l with one, l(l-1)/2 with two. One with none is
  // needed while two layers are left to drop, one with one while one is left, and all that are not
  // dropped pass.
  double expected = 0;
  for (int l = 0; l < 28; ++l) {
    const bool none_kept = l <= 25;        // layers l + 1.. hold both drops
    const int one_kept = l <= 26 ? l : 0;  // layers l + 1.. hold the second drop
    expected += (none_kept ? 1 : 0) + one_kept + l * (l - 1) / 2;
  }
  CHECK(passes_of(variants(texts)).layers() == expected);
}

TEST_CASE("windows of layers fork where they begin") {
  // Each window of four forks at its first layer and goes on after its last.
  const auto list = variants({"", "0-3 drop", "4-7 drop", "24-27 drop"});
  CHECK(passes_of(list).layers() == 28 + 24 + 20 + 0);
  CHECK(layers_alone(list) == 28 + 3 * 24);
}

TEST_CASE("dropping attention or MLP alone costs half a layer") {
  const auto list = variants({"", "3 drop-attention", "3 drop-mlp"});
  CHECK(passes_of(list) == LayerPasses{28 + 24 + 25, 28 + 25 + 24});
  CHECK(count_passes_alone(list[1], 28) == LayerPasses{27, 28});
  CHECK(count_passes_alone(list[2], 28) == LayerPasses{28, 27});
  CHECK(count_passes_alone(list[1], 28).layers() == 27.5);
}

TEST_CASE("pruned layers are passed whole") {
  const auto list = variants({"", "0-27 magnitude 50", "14-27 magnitude 50"});
  CHECK(passes_of(list) == LayerPasses{28 + 28 + 14, 28 + 28 + 14});
  CHECK(count_passes_alone(list[1], 28) == LayerPasses{28, 28});
}

TEST_CASE("variants that are the same model share all streams") {
  const auto list =
      variants({"", "0-27 magnitude 0", "3 magnitude 0", "5 drop", "0 magnitude 0, 5 drop"});
  const StreamTree tree = build_stream_tree(list, 28);
  CHECK(tree.stream_of_variant[0] == tree.stream_of_variant[1]);
  CHECK(tree.stream_of_variant[0] == tree.stream_of_variant[2]);
  CHECK(tree.stream_of_variant[3] == tree.stream_of_variant[4]);
  CHECK(tree.stream_of_variant[0] != tree.stream_of_variant[3]);
  CHECK(count_passes(tree).layers() == 28 + 22);
  for (const auto& level : tree.levels) {
    for (const Branch& branch : level) CHECK((!branch.edit || !branch.edit->is_identity()));
  }
}

TEST_CASE(
    "two variants share a stream after a layer just when their effective edits up to it are "
    "equal") {
  std::mt19937 random(5);
  for (int trial = 0; trial < 300; ++trial) {
    const auto num_layers = static_cast<int32_t>(1 + random() % 6);
    std::vector<Variant> list(1 + random() % 10);
    for (Variant& one : list) one = random_variant(random, num_layers);
    const StreamTree tree = build_stream_tree(list, num_layers);
    REQUIRE(tree.levels.size() == static_cast<size_t>(num_layers));
    REQUIRE(tree.stream_of_variant.size() == list.size());

    std::vector<std::vector<int32_t>> streams;
    for (size_t i = 0; i < list.size(); ++i) streams.push_back(streams_of(tree, i));
    LayerPasses expected;
    for (int32_t layer = 0; layer < num_layers; ++layer) {
      std::set<std::vector<Edit>> prefixes;
      for (size_t i = 0; i < list.size(); ++i) {
        const auto prefix = effective_prefix(list[i], layer);
        for (size_t j = 0; j < i; ++j) {
          const bool same = prefix == effective_prefix(list[j], layer);
          REQUIRE(
              (streams[i][static_cast<size_t>(layer)] == streams[j][static_cast<size_t>(layer)]) ==
              same);
        }
        // The branch does to its layer what the variant asks for.
        const Branch& branch = tree.levels[static_cast<size_t>(layer)].at(
            static_cast<size_t>(streams[i][static_cast<size_t>(layer)]));
        const bool edited = !prefix.empty() && prefix.back().layer == layer;
        REQUIRE(branch.edit.has_value() == edited);
        if (edited) REQUIRE(*branch.edit == prefix.back());
        if (!prefixes.insert(prefix).second) continue;
        const EditKind kind = edited ? prefix.back().kind : EditKind::kMagnitude;
        expected.attention += kind == EditKind::kMagnitude || kind == EditKind::kDropMlp;
        expected.mlp += kind == EditKind::kMagnitude || kind == EditKind::kDropAttention;
      }
      // No stream that nobody needs.
      REQUIRE(tree.levels[static_cast<size_t>(layer)].size() == prefixes.size());
    }
    REQUIRE(count_passes(tree) == expected);
  }
}
