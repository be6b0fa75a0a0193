#include "fuzz/reader.hpp"
#include "prune_sweep/text/reader.hpp"

using namespace prune_sweep;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz(data, size, [](std::string_view text) {
    int64_t previous = 0;
    for (const JsonLine& line : parse_json_lines(text, "fuzz.jsonl")) {
      expect(line.object.is_object() && line.line == previous + 1);
      previous = line.line;
    }
  });
}
