#include "prune_sweep/core/variant.hpp"

#include <random>

#include "core/message_of.hpp"

using namespace prune_sweep;

namespace {

constexpr int32_t kLayers = 28;

std::vector<Edit> edits(std::string_view text, MagnitudeScope scope = MagnitudeScope::kTensor) {
  return parse_edits(text, kLayers, scope, "job.ini: sweep.variant=x");
}

Edit magnitude(int32_t layer, int64_t millionths, MagnitudeScope scope = MagnitudeScope::kTensor) {
  return {layer, EditKind::kMagnitude, {millionths}, scope};
}

struct BadText {
  std::string text;
  std::vector<std::string> words;  ///< all expected in the message
};

}  // namespace

// python3: from fractions import Fraction; Fraction(percent) * n // 100
TEST_CASE("a percent of n is rounded down in exact arithmetic") {
  struct Row {
    const char* percent;
    int64_t n;
    int64_t expected;
  };
  const std::vector<Row> rows{
      {"0", 1099511627783, 0},
      {"10", 3, 0},
      {"10", 155582464, 15558246},
      {"10", 9007199254740993, 900719925474099},
      {"10", 1099511627783, 109951162778},
      {"12.5", 9007199254740993, 1125899906842624},
      {"12.5", 2097152, 262144},
      {"12.5", 1000, 125},
      {"12.5", 3, 0},
      {"30", 155582464, 46674739},
      {"30", 1, 0},
      {"30", 2097152, 629145},
      {"30", 1099511627783, 329853488334},
      {"33.333333", 1099511627783, 366503872262},
      {"33.333333", 155582464, 51860820},
      {"33.333333", 1048576, 349525},
      {"50", 909727124728840293, 454863562364420146},
      {"50", 3, 1},
      {"66.666667", 3145728, 2097152},
      {"66.666667", 9007199254740993, 6004799533184659},
      {"66.666667", 1099511627783, 733007755520},
      {"90", 9007199254740993, 8106479329266893},
      {"90", 596049920, 536444928},
      {"99.999999", 9007199254740993, 9007199164669000},
      {"99.999999", 1000, 999},
      {"99.999999", 2097152, 2097151},
      {"100", 596049920, 596049920},
      {"100", 1099511627783, 1099511627783},
      {"0.000001", 596049920, 5},
      {"0.000001", 1000, 0},
      {"0.000001", 9007199254740993, 90071992},
      {"7.1", 9007199254740993, 639511147086610},
      {"0.1", 2097152, 2097},
      {"0.1", 596049920, 596049},
      {"28.7", 9007199254740993, 2585066186110664},
      // Binary floating point, as n * (percent / 100), is one short here.
      {"28.7", 3000, 861},
      {"0.7", 1000, 7},
      {"29", 100, 29},
      {"58", 3000, 1740},
  };
  for (const Row& row : rows) {
    CAPTURE(row.percent, row.n);
    CHECK(Percent::parse(row.percent, "").of(row.n) == row.expected);
  }
}

TEST_CASE("a percent is read exactly and written in its shortest form") {
  struct Row {
    const char* text;
    int64_t millionths;
    const char* canonical;
  };
  const std::vector<Row> rows{
      {"0", 0, "0"},
      {"0.0", 0, "0"},
      {"30", 30'000'000, "30"},
      {"030", 30'000'000, "30"},
      {"12.5", 12'500'000, "12.5"},
      {"12.500000", 12'500'000, "12.5"},
      {"0.000001", 1, "0.000001"},
      {"99.999999", 99'999'999, "99.999999"},
      {"100", 100'000'000, "100"},
      {"100.000", 100'000'000, "100"},
      {"7.05", 7'050'000, "7.05"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const Percent percent = Percent::parse(row.text, "");
    CHECK(percent.millionths == row.millionths);
    CHECK(percent.text() == row.canonical);
  }
}

TEST_CASE("what is no percent is refused") {
  const std::string no_percent = "is not a percent";
  const std::string out_of_range = "percent must be in [0, 100]";
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", no_percent},
      {"x", no_percent},
      {"-1", no_percent},
      {"-0", no_percent},
      {"+5", no_percent},
      {".5", no_percent},
      {"5.", no_percent},
      {".", no_percent},
      {"5.-0", no_percent},
      {"5.-5", no_percent},
      {"5.+5", no_percent},
      {"5.5.5", no_percent},
      {"1e1", no_percent},
      {"0x10", no_percent},
      {" 5", no_percent},
      {"5 ", no_percent},
      {"5%", no_percent},
      {"nan", no_percent},
      {"inf", no_percent},
      {"5,5", no_percent},
      {"\n", "'\\x0a' is not a percent"},
      {"101", out_of_range},
      {"140", out_of_range},
      {"100.000001", out_of_range},
      {"9223372036854775807", out_of_range},
      {"99999999999999999999", no_percent},
      {"1.1234567", "at most six decimals"},
  };
  for (const auto& [text, words] : rows) {
    CAPTURE(text);
    const std::string message =
        refusal_of([&] { Percent::parse(text, "a.ini: sweep.magnitude=x"); });
    CHECK_THAT(message, ContainsSubstring(words) && Catch::Matchers::StartsWith("a.ini: sweep."));
  }
}

TEST_CASE("the table of edit kinds is in the order of the enum, with distinct names") {
  const auto& table = edit_kinds();
  for (size_t i = 0; i < table.size(); ++i) {
    CHECK(static_cast<size_t>(table[i].kind) == i);
    CHECK(&info(table[i].kind) == &table[i]);
    for (size_t j = 0; j < i; ++j) CHECK(table[i].name != table[j].name);
  }
}

TEST_CASE("edits are read from a variant line") {
  using Edits = std::vector<Edit>;
  CHECK(edits("") == Edits{});
  CHECK(edits("3 drop") == Edits{{3, EditKind::kDrop}});
  CHECK(
      edits("7 drop-attention, 3 drop") ==
      Edits{{3, EditKind::kDrop}, {7, EditKind::kDropAttention}});
  CHECK(
      edits("3,5 drop-mlp 9-10 magnitude 12.5") == Edits{
                                                       {3, EditKind::kDropMlp},
                                                       {5, EditKind::kDropMlp},
                                                       magnitude(9, 12'500'000),
                                                       magnitude(10, 12'500'000)});
  CHECK(edits("\t0\tdrop ,, 27   drop ") == Edits{{0, EditKind::kDrop}, {27, EditKind::kDrop}});
  CHECK(edits("4 magnitude 50 row") == Edits{magnitude(4, 50'000'000, MagnitudeScope::kRow)});
  CHECK(
      edits("4 magnitude 50", MagnitudeScope::kGlobal) ==
      Edits{magnitude(4, 50'000'000, MagnitudeScope::kGlobal)});
  CHECK(
      edits("4 magnitude 50 tensor, 5 drop", MagnitudeScope::kRow) ==
      Edits{magnitude(4, 50'000'000), {5, EditKind::kDrop}});
}

TEST_CASE("bad edits are refused with the reason") {
  const std::vector<BadText> rows{
      {"drop", {"'drop' stands where layers are expected"}},
      {"3", {"layers without an edit"}},
      {"3 remove", {"'remove' is not an edit", "drop, drop-attention, drop-mlp, magnitude"}},
      {"3 Drop", {"'Drop' is not an edit"}},
      {"28 drop", {"layer 28 is not there", "layers 0 to 27"}},
      {"20-28 drop", {"layer 28 is not there"}},
      {"0-99999999999 drop", {"layer 99999999999 is not there"}},
      {"99999999999999999999 drop", {"'99999999999999999999' is not a layer"}},
      {"-1 drop", {"'-1' is not a layer or a range"}},
      {"5-3 drop", {"'5-3' is not a layer or a range"}},
      {"3- drop", {"'3-' is not a layer or a range"}},
      {"- drop", {"'-' is not a layer or a range"}},
      {"3--5 drop", {"'3--5' is not a layer or a range"}},
      {"1-2-3 drop", {"'1-2-3' is not a layer or a range"}},
      {"3 drop, 3 drop", {"layer 3 has two edits", "at most one"}},
      {"3 drop-attention, 2-4 drop-mlp", {"layer 3 has two edits"}},
      {"3,3 drop", {"layer 3 has two edits"}},
      {"3 magnitude", {"magnitude needs a percent"}},
      {"3 magnitude, 4 drop", {"'drop' stands where layers are expected"}},
      {"3 magnitude 140", {"percent must be in [0, 100]"}},
      {"3 magnitude 50 cube", {"'cube' stands where layers are expected"}},
      {"3 drop 5", {"layers without an edit", "at the end"}},
      {"3 drop 50", {"layer 50 is not there"}},
      {"3: drop", {"'3:' stands where layers are expected"}},
      {"\x1b[2J drop", {R"('\x1b[2J')"}},
  };
  for (const BadText& row : rows) {
    CAPTURE(row.text);
    const std::string message = refusal_of([&] { edits(row.text); });
    CHECK_THAT(message, Catch::Matchers::StartsWith("job.ini: sweep.variant=x ("));
    for (const std::string& words : row.words) CHECK_THAT(message, ContainsSubstring(words));
  }
}

TEST_CASE("layer lists are read, ascending") {
  using Layers = std::vector<int32_t>;
  CHECK(parse_layers("0,3,7-9", kLayers, "") == Layers{0, 3, 7, 8, 9});
  CHECK(parse_layers("27, 1-2", kLayers, "") == Layers{1, 2, 27});
}

TEST_CASE("bad layer lists are refused with the reason") {
  const std::vector<BadText> rows{
      {"28", {"layer 28 is not there", "0 to 27"}},
      {"x", {"'x' is not a layer"}},
      {"0-5,3", {"layer 3 is named twice"}},
      {"7-", {"'7-'"}},
      {"1.5", {"'1.5' is not a layer"}},
      {"0;1", {"'0;1'"}},
  };
  for (const BadText& row : rows) {
    CAPTURE(row.text);
    const std::string message =
        refusal_of([&] { parse_layers(row.text, kLayers, "job.ini: sweep.layers=x"); });
    CHECK_THAT(message, Catch::Matchers::StartsWith("job.ini: sweep.layers=x ("));
    for (const std::string& words : row.words) CHECK_THAT(message, ContainsSubstring(words));
  }
}

TEST_CASE("the canonical text joins equal neighbours") {
  const std::vector<std::pair<std::string, std::string>> rows{
      {"", ""},
      {"3 drop", "3 drop"},
      {"3 drop, 4 drop, 5 drop", "3-5 drop"},
      {"3 drop, 4 drop, 6 drop", "3-4 drop, 6 drop"},
      {"9-12 magnitude 50.0, 3 drop", "3 drop, 9-12 magnitude 50"},
      {"1 magnitude 50, 2 magnitude 50.5", "1 magnitude 50, 2 magnitude 50.5"},
      {"1 magnitude 50, 2 magnitude 50 row", "1 magnitude 50, 2 magnitude 50 row"},
      {"1-3 magnitude 5 global", "1-3 magnitude 5 global"},
      {"0-27 magnitude 0", "0-27 magnitude 0"},
  };
  for (const auto& [text, canonical] : rows) {
    CAPTURE(text);
    CHECK(edits_text(edits(text)) == canonical);
  }
}

TEST_CASE("the effective text leaves out what changes nothing") {
  CHECK(effective_edits_text(edits("0-27 magnitude 0")) == "");
  CHECK(effective_edits_text(edits("0 drop, 1-5 magnitude 0, 6 drop")) == "0 drop, 6 drop");
  CHECK(effective_edits_text(edits("3 magnitude 0.000001")) == "3 magnitude 0.000001");
}

TEST_CASE("an edit of a layer is found unless it is an identity") {
  const Variant variant{"x", edits("3 drop, 5 magnitude 0, 7 magnitude 10")};
  REQUIRE(variant.edit_of(3) != nullptr);
  CHECK(variant.edit_of(3)->kind == EditKind::kDrop);
  CHECK(variant.edit_of(4) == nullptr);
  CHECK(variant.edit_of(5) == nullptr);
  CHECK(variant.edit_of(7) != nullptr);
}

TEST_CASE("any edits come back from their canonical text") {
  std::mt19937 random(20260101);
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<Edit> original;
    for (int32_t layer = 0; layer < kLayers; ++layer) {
      if (random() % 3 == 0) continue;
      const EditKindInfo& kind = edit_kinds()[random() % edit_kinds().size()];
      Edit edit{.layer = layer, .kind = kind.kind};
      if (kind.takes_percent) {
        // Few amounts, so that neighbours are often equal.
        edit.amount.millionths = std::vector<int64_t>{0, 1, 12'500'000, 100'000'000}[random() % 4];
        edit.scope = static_cast<MagnitudeScope>(random() % 3);
      }
      original.push_back(edit);
    }
    const std::string text = edits_text(original);
    CAPTURE(text);
    REQUIRE(edits(text) == original);
  }
}

TEST_CASE("variants are named so that names sort as their numbers do") {
  CHECK(drop_name(0) == "drop-00");
  CHECK(drop_name(7) == "drop-07");
  CHECK(drop_name(27) == "drop-27");
  CHECK(drop_name(100) == "drop-100");
  CHECK(magnitude_name({0}) == "magnitude-00");
  CHECK(magnitude_name({5'500'000}) == "magnitude-05.5");
  CHECK(magnitude_name({12'500'000}) == "magnitude-12.5");
  CHECK(magnitude_name({30'000'000}) == "magnitude-30");
  CHECK(magnitude_name({100'000'000}) == "magnitude-100");
}
