#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "archive/hdf5_reading.hpp"
#include "archive/sample.hpp"
#include "archive/scratch.hpp"
#include "catch.hpp"

namespace fs = std::filesystem;
using namespace prune_sweep;

namespace {

/// Type, shape, units and meaning of each path: a row of results/FORMAT.md, of format_entries() or
/// of a file.
using Cells = std::array<std::string, 4>;
using Table = std::map<std::string, Cells>;

std::string without_spaces_around(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::string with_labels(const std::string& meaning, const std::string& labels) {
  return labels.empty() ? meaning : meaning + "; labels: " + labels;
}

/// Rows of the document that begin with a path in back quotes.
Table documented() {
  std::ifstream file(fs::path(PRUNE_SWEEP_SOURCE_DIR) / "results" / "FORMAT.md");
  Table table;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| `/")) continue;
    std::vector<std::string> cells(1);
    for (const char letter : line.substr(1)) {
      if (letter == '|')
        cells.emplace_back();
      else
        cells.back() += letter;
    }
    CAPTURE(line);
    REQUIRE(cells.size() == 6);
    for (std::string& cell : cells) cell = without_spaces_around(cell);
    table[cells[0].substr(1, cells[0].size() - 2)] = {cells[1], cells[2], cells[3], cells[4]};
  }
  return table;
}

Table declared() {
  Table table;
  for (const FormatEntry& entry : format_entries()) {
    const bool inserted =
        table
            .insert(
                {entry.path,
                 {entry.type, entry.shape, entry.units, with_labels(entry.meaning, entry.labels)}})
            .second;
    CAPTURE(entry.path);
    CHECK(inserted);
  }
  return table;
}

/// `/benchmarks/mmlu/loglik` as `/benchmarks/<multiple-choice>/loglik`.
std::string in_format(std::string path) {
  const std::array<std::array<std::string, 2>, 2> kinds{
      {{"/benchmarks/mmlu", "/benchmarks/<multiple-choice>"},
       {"/benchmarks/gsm8k", "/benchmarks/<generation>"}}};
  for (const auto& [name, kind] : kinds) {
    if (path.starts_with(name)) return kind + path.substr(name.size());
  }
  return path;
}

/// An attribute's meaning is not in the file.
Cells attribute_cells(hid_t object, const std::string& name) {
  const hid_t attribute = H5Aopen(object, name.c_str(), H5P_DEFAULT);
  const bool is_scalar = H5Sget_simple_extent_type(H5Aget_space(attribute)) == H5S_SCALAR;
  const std::string type = hdf5_reading::type_name(H5Aget_type(attribute));
  H5Aclose(attribute);
  return {type, is_scalar ? "scalar" : "[host]", "", ""};
}

Cells data_set_cells(hid_t id) {
  std::string shape;
  for (const std::string& name : hdf5_reading::dimension_names(id)) {
    shape += (shape.empty() ? "[" : ", ") + name;
  }
  const auto text = [&](const char* name) {
    return H5Aexists(id, name) > 0 ? hdf5_reading::text_attribute(id, name).at(0) : "";
  };
  return {
      hdf5_reading::type_name(H5Dget_type(id)),
      shape + "]",
      text("units"),
      with_labels(text("description"), text("labels"))};
}

Table written() {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  sample::write(path, plan, sample::partial_records(plan));
  const hdf5_reading::File file(path);
  Table table;
  hdf5_reading::walk(file.id(), "/", [&](const std::string& at, hid_t object) {
    if (H5Iget_type(object) == H5I_DATASET) {
      table[in_format(at)] = data_set_cells(object);
      return;
    }
    for (const std::string& name : hdf5_reading::attribute_names(object)) {
      table[in_format(at == "/" ? "/@" + name : at + "/@" + name)] = attribute_cells(object, name);
    }
  });
  return table;
}

std::string text_of(const std::string& path, const Cells& cells) {
  std::string line = "| `" + path + "` |";
  for (const std::string& cell : cells) line += " " + cell + " |";
  return line;
}

void check_equal(const Table& first, const Table& second) {
  std::set<std::string> lines;
  for (const auto& [path, cells] : first) lines.insert(text_of(path, cells));
  for (const auto& [path, cells] : second) {
    CAPTURE(path);
    CHECK(lines.erase(text_of(path, cells)) == 1);
  }
  for (const std::string& line : lines) {
    CAPTURE(line);
    CHECK_FALSE("is in the first only");
  }
}

}  // namespace

TEST_CASE("results/FORMAT.md and the table that the writer uses have the same rows") {
  check_equal(declared(), documented());
}

TEST_CASE("a written archive has the paths of its format and no others") {
  Table expected = declared();
  // What a row says of an attribute beyond its type and shape is only in the document.
  for (auto& [path, cells] : expected) {
    if (path.find('@') != std::string::npos) cells[3].clear();
  }
  check_equal(expected, written());
}

TEST_CASE("a data set has the attributes that the document names, and no others") {
  const Scratch scratch;
  const fs::path path = scratch.path() / "archive.h5";
  const Plan plan = sample::plan();
  sample::write(path, plan, sample::partial_records(plan));
  const hdf5_reading::File file(path);
  const std::set<std::string> allowed{
      "units",
      "description",
      "labels",
      "_FillValue",
      "_Encoding",
      "CLASS",
      "NAME",
      "REFERENCE_LIST",
      "DIMENSION_LIST"};
  hdf5_reading::walk(file.id(), "/", [&](const std::string& at, hid_t object) {
    if (H5Iget_type(object) != H5I_DATASET) return;
    for (const std::string& name : hdf5_reading::attribute_names(object)) {
      CAPTURE(at, name);
      CHECK(allowed.contains(name));
    }
  });
}
