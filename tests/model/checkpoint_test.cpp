#include "prune_sweep/model/checkpoint.hpp"

#include <functional>

#include "core/message_of.hpp"
#include "model/checkpoint_files.hpp"
#include "prune_sweep/core/digest.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace {

const std::string kQ = "model.layers.0.self_attn.q_proj.weight";
const std::string kGate = "model.layers.0.mlp.gate_proj.weight";

void write_config(const TempDir& dir, const OrderedJson& config = small_config()) {
  dir.write("config.json", config.dump());
}

Checkpoint open(const TempDir& dir) {
  return Checkpoint::open(dir.path(), read_model_config(dir.path()));
}

std::string refusal(const TempDir& dir) {
  return refusal_of([&] { open(dir); });
}

/// The small checkpoint as one file of any bytes.
std::string refusal_of_file(const std::string& bytes) {
  const TempDir dir;
  write_config(dir);
  dir.write("model.safetensors", bytes);
  return refusal(dir);
}

/// small_tensors() in two shards with an index.
struct Sharded {
  std::vector<FileTensor> first, second;
  OrderedJson index{{"metadata", {{"total_size", 1}}}, {"weight_map", OrderedJson::object()}};

  Sharded() {
    for (const FileTensor& tensor : small_tensors()) {
      const bool is_first = first.size() < 7;
      (is_first ? first : second).push_back(tensor);
      index["weight_map"][tensor.name] = is_first ? "a.safetensors" : "b.safetensors";
    }
  }

  void write(const TempDir& dir) const {
    write_config(dir);
    dir.write("a.safetensors", safetensors_of(first));
    dir.write("b.safetensors", safetensors_of(second));
    dir.write("model.safetensors.index.json", index.dump());
  }
};

}  // namespace

TEST_CASE("a published checkpoint is read: header with null metadata, tensors in no order") {
  const std::filesystem::path dir = std::string(PRUNE_SWEEP_DATA_DIR) + "/tiny-qwen3";
  const Checkpoint checkpoint = Checkpoint::open(dir, read_model_config(dir));
  CHECK(checkpoint.files() == std::vector<std::filesystem::path>{dir / "model.safetensors"});
  CHECK(checkpoint.num_bytes() == 216'298);
  const TensorView& view = checkpoint.tensor("model.layers.1.mlp.down_proj.weight");
  CHECK(view.type == StoredType::kBfloat16);
  CHECK(view.shape == std::vector<int64_t>{64, 128});
  CHECK(view.bytes.size() == 2 * 64 * 128);
  CHECK_NOTHROW(checkpoint.require_finite());
}

TEST_CASE("the digest is that of names and digests of the files, config.json last") {
  const TempDir dir;
  Sharded().write(dir);
  Sha256 expected;
  for (const char* name : {"a.safetensors", "b.safetensors", "config.json"}) {
    expected.field(name).field(sha256_file(dir.path() / name));
  }
  const std::string digest = open(dir).sha256();
  CHECK(digest == expected.hex());

  SECTION("a changed weight changes it") {
    Sharded other;
    other.second.back().bytes[0] = 1;
    other.write(dir);
    CHECK(open(dir).sha256() != digest);
  }
  SECTION("a changed config.json changes it") {
    OrderedJson config = small_config();
    config["rope_theta"] = 10001;
    write_config(dir, config);
    CHECK(open(dir).sha256() != digest);
  }
}

TEST_CASE("shards and one file hold the same tensors") {
  auto tensors = small_tensors();
  tensor_named(tensors, kQ).bytes[5] = 7;
  const TempDir one;
  write_config(one);
  one.write("model.safetensors", safetensors_of(tensors));
  Sharded shards;
  tensor_named(shards.first, kQ).bytes[5] = 7;
  const TempDir two;
  shards.write(two);
  const Checkpoint a = open(one);
  const Checkpoint b = open(two);
  for (const FileTensor& tensor : tensors) {
    CHECK(a.tensor(tensor.name).bytes == tensor.bytes);
    CHECK(b.tensor(tensor.name).bytes == tensor.bytes);
  }
}

TEST_CASE("a stored copy of a tied head is accepted and not part of the model") {
  OrderedJson config = small_config();
  config["tie_word_embeddings"] = true;
  auto tensors = small_tensors();
  const TempDir dir;
  write_config(dir, config);
  dir.write("model.safetensors", safetensors_of(tensors));
  const Checkpoint checkpoint = open(dir);
  CHECK(error_of([&] { checkpoint.tensor("lm_head.weight"); }).status() == ExitStatus::kInternal);

  SECTION("but not of another shape") {
    FileTensor& head = tensor_named(tensors, "lm_head.weight");
    head.shape = {6, 12};
    dir.write("model.safetensors", safetensors_of(tensors));
    CHECK_THAT(refusal(dir), ContainsSubstring("lm_head.weight") && ContainsSubstring("[12, 6]"));
  }
  SECTION("and need not be there") {
    tensors.pop_back();
    dir.write("model.safetensors", safetensors_of(tensors));
    CHECK_NOTHROW(open(dir));
  }
}

TEST_CASE("a damaged header is refused by file and tensor") {
  struct Fault {
    std::string what;
    std::function<void(OrderedJson&)> damage;
    std::vector<std::string> named;
  };
  const std::vector<Fault> faults{
      {"not an object", [](auto& h) { h[kQ] = 1; }, {kQ}},
      {"no dtype", [](auto& h) { h[kQ].erase("dtype"); }, {kQ, "dtype"}},
      {"unknown dtype", [](auto& h) { h[kQ]["dtype"] = "I8"; }, {kQ, "I8", "BF16"}},
      {"dtype is a number", [](auto& h) { h[kQ]["dtype"] = 2; }, {kQ, "dtype"}},
      {"no shape", [](auto& h) { h[kQ].erase("shape"); }, {kQ, "shape"}},
      {"shape is a number", [](auto& h) { h[kQ]["shape"] = 96; }, {kQ, "shape"}},
      {"negative dimension",
       [](auto& h) {
         h[kQ]["shape"] = {-16, -6};
       },
       {kQ, "-16"}},
      {"fractional dimension",
       [](auto& h) {
         h[kQ]["shape"] = {16.0, 6};
       },
       {kQ, "16.0"}},
      {"product wraps to the right size",
       [](auto& h) {
         h[kQ]["shape"] = {(1ULL << 63) + 96, 2};
       },
       {kQ, "too large"}},
      {"product overflows",
       [](auto& h) {
         h[kQ]["shape"] = {1ULL << 40, 1ULL << 40};
       },
       {kQ, "too large"}},
      {"no offsets", [](auto& h) { h[kQ].erase("data_offsets"); }, {kQ, "data_offsets"}},
      {"one offset", [](auto& h) { h[kQ]["data_offsets"] = {0}; }, {kQ, "data_offsets"}},
      {"offsets reversed",
       [](auto& h) { std::swap(h[kQ]["data_offsets"][0], h[kQ]["data_offsets"][1]); },
       {kQ, "outside"}},
      {"offsets behind the file",
       [](auto& h) {
         h[kQ]["data_offsets"] = {1ULL << 60, (1ULL << 60) + 192};
       },
       {kQ, "outside"}},
      {"offsets wrap",
       [](auto& h) {
         h[kQ]["data_offsets"] = {UINT64_MAX - 191, UINT64_MAX};
       },
       {kQ}},
      {"negative offset", [](auto& h) { h[kQ]["data_offsets"][0] = -1; }, {kQ, "-1"}},
      {"fewer bytes than the shape",
       [](auto& h) {
         h[kQ]["shape"] = {16, 7};
       },
       {kQ, "224", "192"}},
      {"overlap",
       [](auto& h) {
         for (auto& offset : h["lm_head.weight"]["data_offsets"])
           offset = offset.template get<int>() - 2;
       },
       {"lm_head.weight", "overlaps"}},
      {"gap", [](auto& h) { h.erase(kQ); }, {"gap"}},
      {"bytes at the end", [](auto& h) { h.erase("lm_head.weight"); }, {"after the last tensor"}},
      {"metadata is a list", [](auto& h) { h["__metadata__"] = {1}; }, {"__metadata__"}},
      {"metadata holds a number", [](auto& h) { h["__metadata__"]["n"] = 1; }, {"__metadata__"}},
  };
  for (const Fault& fault : faults) {
    OrderedJson header = header_of(small_tensors());
    fault.damage(header);
    const std::string message =
        refusal_of_file(safetensors_of(header.dump(), data_of(small_tensors())));
    INFO(fault.what << " gives: " << message);
    CHECK_THAT(message, ContainsSubstring("model.safetensors"));
    for (const std::string& name : fault.named) CHECK_THAT(message, ContainsSubstring(name));
  }
}

TEST_CASE("a file that is no safetensors file is refused by name") {
  const std::string good = safetensors_of(small_tensors());
  const std::string header = header_of(small_tensors()).dump();
  const std::string data = data_of(small_tensors());
  const auto with_length = [&](uint64_t length) {
    std::string file = good;
    std::memcpy(file.data(), &length, sizeof length);
    return file;
  };
  const std::vector<std::pair<std::string, std::string>> files{
      {"", "empty"},
      {"abc", "too short"},
      {std::string(8, '\0'), "not a JSON object"},
      {with_length(UINT64_MAX), "Is it a safetensors file?"},
      {with_length(100'000'001), "Is it a safetensors file?"},
      {with_length(good.size() - 7), "ends within its header"},
      {with_length(header.size() - 1), "not JSON"},
      {with_length(header.size() + 1), "outside"},
      {good.substr(0, 40), "ends within its header"},
      {good.substr(0, good.size() - 1), "outside"},
      {good + '\0', "after the last tensor"},
      {safetensors_of(' ' + header, data), "not a JSON object"},
      {safetensors_of("{}", ""), "missing"},
      {safetensors_of("{\"a\": " + std::string(1 << 20, '['), ""), "nested"},
      {safetensors_of("{\"x\": 1, \"x\": 1}", ""), "twice"},
      {safetensors_of("{\"x\": [" + std::string(9'000'000, '0'), ""), "not JSON"},
      {"PK\x03\x04" + std::string(200, 'x'), "Is it a safetensors file?"},
  };
  for (const auto& [bytes, expected] : files) {
    const std::string message = refusal_of_file(bytes);
    INFO(bytes.size() << " bytes give: " << message);
    CHECK_THAT(message, ContainsSubstring("model.safetensors") || ContainsSubstring("missing"));
    CHECK_THAT(message, ContainsSubstring(expected));
    CHECK(message.find('\n') == std::string::npos);
  }
  // Spaces behind the header are how writers align the data.
  const TempDir dir;
  write_config(dir);
  dir.write("model.safetensors", safetensors_of(header + "     ", data));
  CHECK_NOTHROW(open(dir));
}

TEST_CASE("a header of very many values is refused before it fills the memory") {
  std::string header = "{\"x\": [0";
  for (int i = 0; i < 5'000'000; ++i) header += ",0";
  CHECK_THAT(
      refusal_of_file(safetensors_of(header + "]}", "")), ContainsSubstring("more JSON values"));
}

TEST_CASE("tensors that do not belong to the configuration are refused by name") {
  const TempDir dir;
  write_config(dir);
  auto tensors = small_tensors();
  const auto refusal_now = [&] {
    dir.write("model.safetensors", safetensors_of(tensors));
    return refusal(dir);
  };
  SECTION("missing") {
    tensors.erase(tensors.begin() + 2);
    CHECK_THAT(refusal_now(), ContainsSubstring(kQ) && ContainsSubstring("missing"));
  }
  SECTION("surplus") {
    tensors.push_back(
        {"model.layers.1.input_layernorm.weight", "BF16", {6}, std::string(12, '\0')});
    CHECK_THAT(
        refusal_now(),
        ContainsSubstring("model.layers.1.input_layernorm.weight") && ContainsSubstring("surplus"));
  }
  SECTION("surplus, with a name that is not fit to print") {
    tensors.push_back({"a\nb\x1b[2J", "BF16", {1}, std::string(2, '\0')});
    const std::string message = refusal_now();
    CHECK_THAT(message, ContainsSubstring("a\\x0ab\\x1b"));
    CHECK(message.find('\n') == std::string::npos);
  }
  SECTION("surplus, but for the frequencies in old Llama checkpoints") {
    tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {2}, "12345678"});
    dir.write("model.safetensors", safetensors_of(tensors));
    CHECK_NOTHROW(open(dir));
  }
  SECTION("wrong shape") {
    tensor_named(tensors, kQ).shape = {6, 16};
    CHECK_THAT(
        refusal_now(),
        ContainsSubstring(kQ) && ContainsSubstring("[6, 16]") && ContainsSubstring("[16, 6]"));
  }
  SECTION("wrong rank") {
    tensor_named(tensors, kQ).shape = {96};
    CHECK_THAT(refusal_now(), ContainsSubstring(kQ) && ContainsSubstring("[96]"));
  }
  SECTION("an untied head that is not there") {
    tensors.pop_back();
    CHECK_THAT(refusal_now(), ContainsSubstring("lm_head.weight"));
  }
}

TEST_CASE("an index that does not fit its shards is refused by file and tensor") {
  const TempDir dir;
  Sharded shards;
  OrderedJson& map = shards.index["weight_map"];
  SECTION("no weight_map") {
    shards.index.erase("weight_map");
    shards.write(dir);
    CHECK_THAT(refusal(dir), ContainsSubstring("index.json") && ContainsSubstring("weight_map"));
  }
  SECTION("a file name that is a number") {
    map[kQ] = 1;
    shards.write(dir);
    CHECK_THAT(refusal(dir), ContainsSubstring(kQ));
  }
  SECTION("a file name that leads elsewhere") {
    for (const std::string name :
         {"../a.safetensors",
          "/etc/passwd",
          "sub/a.safetensors",
          "..",
          "",
          "a\\b",
          std::string("a\0b", 3).c_str()}) {
      map[kQ] = name == "a" ? std::string("a\0b", 3) : name;
      shards.write(dir);
      INFO(name);
      CHECK_THAT(refusal(dir), ContainsSubstring(kQ) && ContainsSubstring("plain file name"));
    }
  }
  SECTION("a shard that is not there") {
    shards.write(dir);
    std::filesystem::remove(dir.path() / "b.safetensors");
    CHECK_THAT(refusal(dir), ContainsSubstring("b.safetensors"));
  }
  SECTION("a shard that is a folder") {
    shards.write(dir);
    std::filesystem::remove(dir.path() / "b.safetensors");
    std::filesystem::create_directory(dir.path() / "b.safetensors");
    CHECK_THAT(
        refusal(dir), ContainsSubstring("b.safetensors") && ContainsSubstring("regular file"));
  }
  SECTION("a tensor that its shard lacks") {
    shards.first.erase(shards.first.begin() + 2);
    shards.write(dir);
    CHECK_THAT(refusal(dir), ContainsSubstring("a.safetensors") && ContainsSubstring(kQ));
  }
  SECTION("a tensor that the index puts into the other shard") {
    map[kQ] = "b.safetensors";
    shards.write(dir);
    CHECK_THAT(refusal(dir), ContainsSubstring("a.safetensors") && ContainsSubstring(kQ));
  }
  SECTION("a tensor that the index does not know") {
    map.erase(kQ);
    shards.write(dir);
    CHECK_THAT(refusal(dir), ContainsSubstring("a.safetensors") && ContainsSubstring(kQ));
  }
  SECTION("the same tensor in both") {
    shards.second.push_back(shards.first.front());
    shards.write(dir);
    CHECK_THAT(refusal(dir), ContainsSubstring("b.safetensors"));
  }
}

TEST_CASE("a directory without safetensors says what is wanted") {
  const TempDir dir;
  write_config(dir);
  CHECK_THAT(refusal(dir), ContainsSubstring("model.safetensors"));
  dir.write("pytorch_model.bin", "PK");
  CHECK_THAT(
      refusal(dir),
      ContainsSubstring("pytorch_model.bin") && ContainsSubstring("Convert to safetensors."));
}

TEST_CASE("a weight that is not finite is found, whatever its type and place") {
  struct Bits {
    std::string dtype;
    std::string bytes;
    bool finite;
  };
  const std::vector<Bits> cases{
      {"BF16", std::string("\x80\x7f", 2), false},  // infinity
      {"BF16", std::string("\x81\xff", 2), false},  // NaN
      {"BF16", std::string("\x7f\x7f", 2), true},   // the largest
      {"F16", std::string("\x00\x7c", 2), false},
      {"F16", std::string("\x01\xfe", 2), false},
      {"F16", std::string("\xff\x7b", 2), true},
      {"F32", std::string("\x00\x00\x80\x7f", 4), false},
      {"F32", std::string("\x01\x00\x80\xff", 4), false},
      {"F32", std::string("\xff\xff\x7f\x7f", 4), true},
  };
  OrderedJson config = small_config();
  config["intermediate_size"] = 3001;  // more than one block of the search, and an odd end
  for (const Bits& bits : cases) {
    const size_t size = bits.bytes.size();
    for (const size_t place : {size_t{0}, size_t{2047}, size_t{2048}, size_t{6 * 3001 - 1}}) {
      auto tensors = small_tensors();
      for (const char* name : {"gate", "up", "down"}) {
        FileTensor& tensor =
            tensor_named(tensors, std::string("model.layers.0.mlp.") + name + "_proj.weight");
        tensor.shape = {3001, 6};
        if (std::string(name) == "down") tensor.shape = {6, 3001};
        tensor.dtype = bits.dtype;
        tensor.bytes.assign(size * 6 * 3001, '\0');
      }
      tensor_named(tensors, kGate).bytes.replace(place * size, size, bits.bytes);
      const TempDir dir;
      write_config(dir, config);
      dir.write("model.safetensors", safetensors_of(tensors));
      const Checkpoint checkpoint = open(dir);
      INFO(bits.dtype << " at " << place);
      if (bits.finite) {
        CHECK_NOTHROW(checkpoint.require_finite());
      } else {
        CHECK_THAT(refusal_of([&] { checkpoint.require_finite(); }), ContainsSubstring(kGate));
      }
    }
  }
}
