#include "prune_sweep/model/checkpoint.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <future>
#include <optional>
#include <set>
#include <utility>

#include "model/safetensors.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/core/json_file.hpp"
#include "prune_sweep/core/large_pages.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;
using nlohmann::json;

/// A file in read-only memory.
class Checkpoint::Mapping {
 public:
  explicit Mapping(const fs::path& path) {
    const std::string name = path.string();
    // Not to hang on a FIFO.
    const int file = ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) bad_input(name, std::strerror(errno));
    struct stat status {};
    const bool is_regular = ::fstat(file, &status) == 0 && S_ISREG(status.st_mode);
    size_ = is_regular ? static_cast<size_t>(status.st_size) : 0;
    void* start = MAP_FAILED;
    if (size_ > 0) start = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
    const int error = errno;
    ::close(file);
    if (!is_regular) bad_input(name, "not a regular file");
    if (size_ == 0) bad_input(name, "empty");
    if (start == MAP_FAILED) bad_input(name, std::strerror(error));
    start_ = static_cast<const char*>(start);
    advise_large_pages(start, size_);
  }
  ~Mapping() {
    if (start_ != nullptr) ::munmap(const_cast<char*>(start_), size_);
  }
  Mapping(Mapping&& other) noexcept
      : start_(std::exchange(other.start_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(start_, other.start_);
    std::swap(size_, other.size_);
    return *this;
  }

  std::string_view bytes() const { return {start_, size_}; }

 private:
  const char* start_ = nullptr;
  size_t size_ = 0;
};

namespace {

constexpr size_t kMaxIndexBytes = 100'000'000;
constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr std::string_view kTiedHead = "lm_head.weight";

using ShardOfTensor = std::map<std::string, std::string, std::less<>>;

ShardOfTensor read_index(const fs::path& path) {
  const json index = read_json_object(path, kMaxIndexBytes);
  if (!index.contains("weight_map") || !index["weight_map"].is_object()) {
    bad_input(path.string() + ": weight_map", "an object from tensor to file is expected");
  }
  ShardOfTensor shards;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    const std::string where = path.string() + ": weight_map of " + printable(tensor);
    if (!shard.is_string()) bad_input(where, "file name is not a text");
    const auto name = shard.get<std::string>();
    if (name.empty() || name == "." || name == ".." ||
        name.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      bad_input(where, "'" + printable(name) + "' is not a plain file name");
    }
    shards.emplace(tensor, name);
  }
  return shards;
}

/// Refuses a shard that lacks a tensor of the index or has one that the index puts elsewhere.
void require_as_indexed(
    const TensorTable& tensors,
    const ShardOfTensor& index,
    const std::string& shard,
    const std::string& source) {
  for (const auto& [name, file] : index) {
    if (file == shard && !tensors.contains(name)) {
      bad_input(source + ": tensor " + printable(name), "in the index, but not in the file");
    }
  }
  for (const auto& [name, view] : tensors) {
    const auto entry = index.find(name);
    if (entry == index.end() || entry->second != shard) {
      bad_input(source + ": tensor " + printable(name), "in the file, but not so in the index");
    }
  }
}

[[noreturn]] void refuse_without_weights(const fs::path& dir) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("pytorch_model") && name.ends_with(".bin")) {
      bad_input(
          dir.string(),
          "only pickled weights (" + printable(name) + "), which are not read",
          "Convert to safetensors.");
    }
  }
  bad_input(
      dir.string(),
      "neither " + std::string(kSingleFile) + " nor " + std::string(kIndexFile) + " is there");
}

/// Names of the weight files; the index, where there is one.
std::vector<std::string> weight_files(const fs::path& dir, std::optional<ShardOfTensor>& index) {
  std::error_code error;
  if (fs::exists(dir / kSingleFile, error)) return {std::string(kSingleFile)};
  if (!fs::exists(dir / kIndexFile, error)) refuse_without_weights(dir);
  index = read_index(dir / kIndexFile);
  std::set<std::string> names;
  for (const auto& [tensor, shard] : *index) names.insert(shard);
  return {names.begin(), names.end()};
}

/// Old Llama checkpoints store RoPE's frequencies, which follow from config.json.
bool is_derived(const TensorTable::value_type& entry) {
  return entry.first.ends_with(".self_attn.rotary_emb.inv_freq");
}

void require_expected(
    const TensorTable& tensors, const std::vector<ExpectedTensor>& expected, const fs::path& dir) {
  std::set<std::string_view> names;
  for (const ExpectedTensor& wanted : expected) {
    names.insert(wanted.name);
    const auto found = tensors.find(wanted.name);
    const std::string where = dir.string() + ": tensor " + wanted.name;
    if (found == tensors.end()) bad_input(where, "missing, though config.json asks for it");
    if (found->second.shape != wanted.shape) {
      bad_input(
          where,
          "shape " + shape_text(found->second.shape) + ", but config.json asks for " +
              shape_text(wanted.shape));
    }
  }
  for (const auto& [name, view] : tensors) {
    if (!names.contains(name)) {
      bad_input(
          dir.string() + ": tensor " + printable(name),
          "surplus: a model of this config.json has none of that name");
    }
  }
}

/// Whether no word of `bytes` has all exponent bits set. In blocks, so that the compiler makes it a
/// vector loop.
template <typename Word>
bool is_finite(std::string_view bytes, Word exponent_mask) {
  constexpr size_t kBlock = 2048;
  std::array<Word, kBlock> words;
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), sizeof words);
    if (size < sizeof words) words.fill(0);
    std::memcpy(words.data(), bytes.data(), size);
    Word hit = 0;
    for (size_t i = 0; i < kBlock; ++i) {
      // All exponent bits set: the word's complement has none of them.
      hit |= static_cast<Word>((~words[i] & exponent_mask) == 0 ? 1 : 0);
    }
    if (hit != 0) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

bool is_finite(const TensorView& view) {
  switch (view.type) {
    case StoredType::kBfloat16:
      return is_finite<uint16_t>(view.bytes, 0x7f80);
    case StoredType::kFloat16:
      return is_finite<uint16_t>(view.bytes, 0x7c00);
    case StoredType::kFloat32:
      return is_finite<uint32_t>(view.bytes, 0x7f800000);
  }
  return false;
}

}  // namespace

Checkpoint::~Checkpoint() = default;
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;

Checkpoint Checkpoint::open(const fs::path& model_dir, const ModelConfig& config) {
  Checkpoint checkpoint;
  checkpoint.dir_ = model_dir;
  std::optional<ShardOfTensor> index;
  for (const std::string& name : weight_files(model_dir, index)) {
    const fs::path path = model_dir / name;
    checkpoint.files_.push_back(path);
    checkpoint.mappings_.emplace_back(path);
    TensorTable tensors = parse_safetensors(checkpoint.mappings_.back().bytes(), path.string());
    if (index) require_as_indexed(tensors, *index, name, path.string());
    checkpoint.tensors_.merge(tensors);
  }

  std::erase_if(checkpoint.tensors_, is_derived);

  std::vector<ExpectedTensor> expected = expected_tensors(config);
  const bool has_tied_copy = config.tied_head && checkpoint.tensors_.contains(kTiedHead);
  if (has_tied_copy) {
    expected.push_back({std::string(kTiedHead), {config.vocab_size, config.hidden}});
  }
  require_expected(checkpoint.tensors_, expected, model_dir);
  if (has_tied_copy) checkpoint.tensors_.erase(std::string(kTiedHead));
  return checkpoint;
}

const TensorView& Checkpoint::tensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw Error(ExitStatus::kInternal, "no tensor " + std::string(name));
  }
  return found->second;
}

void Checkpoint::require_finite(const std::stop_token& stop) const {
  std::vector<const TensorTable::value_type*> entries;
  for (const auto& entry : tensors_) entries.push_back(&entry);
  // Two threads read faster than one; the tensors alternate between them.
  const auto first_bad = [&](size_t start) {
    size_t i = start;
    while (i < entries.size() && !stop.stop_requested() && is_finite(entries[i]->second)) i += 2;
    return i;
  };
  std::future<size_t> odd = std::async(std::launch::async, first_bad, 1);
  const size_t bad = std::min(first_bad(0), odd.get());
  if (bad < entries.size() && !stop.stop_requested()) {
    bad_input(dir_.string() + ": tensor " + entries[bad]->first, "holds a NaN or an infinity");
  }
}

std::string Checkpoint::sha256(const std::stop_token& stop) const {
  constexpr size_t kBytesAtOnce = size_t{1} << 24;
  Sha256 digest;
  for (size_t i = 0; i < files_.size(); ++i) {
    Sha256 of_file;
    for (std::string_view bytes = mappings_[i].bytes(); !bytes.empty();) {
      if (stop.stop_requested()) return "";
      const size_t size = std::min(bytes.size(), kBytesAtOnce);
      of_file.update(bytes.substr(0, size));
      bytes.remove_prefix(size);
    }
    digest.field(files_[i].filename().string()).field(of_file.hex());
  }
  return digest.field("config.json").field(sha256_file(dir_ / "config.json")).hex();
}

uint64_t Checkpoint::num_bytes() const {
  uint64_t total = 0;
  for (const Mapping& mapping : mappings_) total += mapping.bytes().size();
  return total;
}

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
  const int64_t hidden = config.hidden;
  const int64_t q_width = int64_t{config.heads} * config.head_dim;
  const int64_t kv_width = int64_t{config.kv_heads} * config.head_dim;
  const int64_t mlp = config.intermediate;

  std::vector<ExpectedTensor> tensors{
      {"model.embed_tokens.weight", {config.vocab_size, hidden}},
      {"model.norm.weight", {hidden}},
  };
  if (!config.tied_head) tensors.push_back({std::string(kTiedHead), {config.vocab_size, hidden}});
  for (int32_t layer = 0; layer < config.num_layers; ++layer) {
    const auto add = [&](const char* name, std::vector<int64_t> shape) {
      tensors.push_back({"model.layers." + std::to_string(layer) + '.' + name, std::move(shape)});
    };
    add("input_layernorm.weight", {hidden});
    add("self_attn.q_proj.weight", {q_width, hidden});
    add("self_attn.k_proj.weight", {kv_width, hidden});
    add("self_attn.v_proj.weight", {kv_width, hidden});
    add("self_attn.o_proj.weight", {hidden, q_width});
    if (config.attention_bias) {
      add("self_attn.q_proj.bias", {q_width});
      add("self_attn.k_proj.bias", {kv_width});
      add("self_attn.v_proj.bias", {kv_width});
    }
    if (config.qk_norm) {
      add("self_attn.q_norm.weight", {config.head_dim});
      add("self_attn.k_norm.weight", {config.head_dim});
    }
    add("post_attention_layernorm.weight", {hidden});
    add("mlp.gate_proj.weight", {mlp, hidden});
    add("mlp.up_proj.weight", {mlp, hidden});
    add("mlp.down_proj.weight", {hidden, mlp});
  }
  return tensors;
}

}  // namespace prune_sweep
