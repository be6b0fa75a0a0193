#include "fuzz/reader.hpp"
#include "prune_sweep/text/reader.hpp"

using namespace prune_sweep;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return fuzz(data, size, [](std::string_view text) {
    size_t bytes = 0;
    for (const CsvRow& row : parse_csv(text, "fuzz.csv", 3)) {
      expect(row.fields.size() == 3 && row.line > 0);
      for (const std::string& field : row.fields) bytes += field.size();
    }
    expect(bytes <= text.size());
  });
}
