#include "benchmarks/fewshot.hpp"

#include "catch.hpp"
#include "reference_values.hpp"

using namespace prune_sweep;

TEST_CASE("the generator gives CPython's 32-bit outputs") {
  PythonRandom random(kFewshotSeed);
  for (const uint32_t expected :
       {4150886329U, 3342196574U, 1892932127U, 501869158U, 32175636U, 389311301U}) {
    CHECK(random.bits(32) == expected);
  }
  PythonRandom again(kFewshotSeed);
  for (const uint32_t expected : {7917U, 6374U, 3610U, 957U, 61U, 742U}) {
    CHECK(again.bits(13) == expected);
  }
}

TEST_CASE("samples are CPython's, from small and from large populations") {
  const auto draws = reference("draws.jsonl");
  REQUIRE(draws.size() == 15);
  for (const Json& draw : draws) {
    PythonRandom random(draw[0].get<uint32_t>());
    CAPTURE(draw[0], draw[1], draw[2]);
    for (const Json& sample : draw[3]) {
      CHECK(
          random.sample(draw[1].get<uint32_t>(), draw[2].get<uint32_t>()) ==
          sample.get<std::vector<uint32_t>>());
    }
  }
}
