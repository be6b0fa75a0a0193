#include "prune_sweep/protocol/message.hpp"

#include <array>

#include "prune_sweep/core/bytes.hpp"
#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/digest.hpp"

namespace prune_sweep {

namespace {

constexpr uint16_t kProtocolVersion = 6;
constexpr std::array<std::string_view, std::variant_size_v<Message>> kNames{
    "Setup",
    "Ready",
    "Lease",
    "Progress",
    "Result",
    "Failure",
    "Committed",
    "Stop",
    "Heartbeat",
    "Revoke",
    "Hello",
    "Refuse"};

// The fields of every message, once: writing and reading iterate them in this order.
template <typename Visit>
void fields(Setup& m, Visit visit) {
  visit(
      m.job_text,
      m.questions_sha256,
      m.tokenizer_sha256,
      m.end_ids,
      m.device,
      m.model_sha256,
      m.num_threads,
      m.patience.evaluator_s,
      m.patience.rank_s);
  visit(
      m.savings.fork,
      m.savings.prefix,
      m.savings.batch_decode,
      m.savings.kernels,
      m.savings.graphs,
      m.savings.row_block);
}
template <typename Visit>
void fields(Ready& m, Visit visit) {
  visit(m.host, m.device, m.torch_version, m.load_s);
}
template <typename Visit>
void fields(Lease& m, Visit visit) {
  visit(m.unit, m.attempt, m.benchmark, m.variant_names, m.variant_edits, m.questions);
}
template <typename Visit>
void fields(Progress& m, Visit visit) {
  visit(m.unit, m.attempt);
}
template <typename Visit>
void fields(Failure& m, Visit visit) {
  visit(m.unit, m.attempt, m.failure, m.text);
}
template <typename Visit>
void fields(Committed& m, Visit visit) {
  visit(m.unit);
}
template <typename Visit>
void fields(Stop& m, Visit visit) {
  visit(m.leave);
}
template <typename Visit>
void fields(Heartbeat& m, Visit visit) {
  visit(m.state);
}
template <typename Visit>
void fields(Revoke& m, Visit visit) {
  visit(m.unit, m.attempt, m.finished);
}
template <typename Visit>
void fields(Hello& m, Visit visit) {
  visit(
      m.program_version,
      m.host,
      m.num_cores,
      m.num_threads,
      m.memory_bytes,
      m.device_uuids,
      m.device_names,
      m.device_uuid);
}
template <typename Visit>
void fields(Refuse& m, Visit visit) {
  visit(m.why);
}

template <typename M>
void put(ByteWriter& writer, M message) {
  fields(message, [&](auto&... field) { (writer.put(field), ...); });
}

void put(ByteWriter& writer, const Result& result) {
  writer.put(result.unit).put(result.attempt).put(result.elapsed_s);
  for (const double seconds : result.phases_s) writer.put(seconds);
  writer.put(result.kind);
  writer.put(static_cast<uint32_t>(result.records.size()));
  for (const Record& record : result.records) put_record(writer, result.kind, record);
}

template <typename M>
M get(ByteReader& reader) {
  M message;
  fields(message, [&](auto&... field) {
    ((field = reader.get<std::remove_cvref_t<decltype(field)>>()), ...);
  });
  return message;
}

template <>
Result get<Result>(ByteReader& reader) {
  Result result;
  result.unit = reader.get<int32_t>();
  result.attempt = reader.get<int32_t>();
  result.elapsed_s = reader.get<double>();
  for (double& seconds : result.phases_s) seconds = reader.get<double>();
  result.kind = reader.get<BenchmarkKind>();
  const auto count = reader.get<uint32_t>();
  for (uint32_t i = 0; i < count; ++i) result.records.push_back(get_record(reader, result.kind));
  return result;
}

template <size_t index = 0>
Message get_alternative(size_t type, ByteReader& reader) {
  if constexpr (index < std::variant_size_v<Message>) {
    if (type == index) return get<std::variant_alternative_t<index, Message>>(reader);
    return get_alternative<index + 1>(type, reader);
  } else {
    throw Error(ExitStatus::kInternal, "message", "unknown type " + std::to_string(type));
  }
}

/// What stands before the CRC.
std::string_view checked_body(std::string_view bytes) {
  if (bytes.size() < sizeof(uint32_t)) throw Error(ExitStatus::kInternal, "message", "too short");
  const std::string_view body = bytes.substr(0, bytes.size() - sizeof(uint32_t));
  if (ByteReader(bytes.substr(body.size())).get<uint32_t>() != crc32c(body)) {
    throw Error(ExitStatus::kInternal, "message", "its CRC is wrong");
  }
  return body;
}

Error other_version(uint16_t version) {
  return {
      ExitStatus::kInternal,
      "message of protocol version " + std::to_string(version),
      "this program speaks version " + std::to_string(kProtocolVersion),
      "Use the same build on all hosts."};
}

}  // namespace

std::string encode(const Message& message) {
  ByteWriter writer;
  writer.put(kProtocolVersion).put(static_cast<uint16_t>(message.index()));
  std::visit([&](const auto& alternative) { put(writer, alternative); }, message);
  std::string bytes = writer.take();
  return bytes + ByteWriter().put(crc32c(bytes)).take();
}

Message decode(std::string_view bytes) {
  ByteReader reader(checked_body(bytes));
  const auto version = reader.get<uint16_t>();
  if (version != kProtocolVersion) throw other_version(version);
  const auto type = reader.get<uint16_t>();
  Message message = get_alternative(type, reader);
  if (!reader.at_end()) throw Error(ExitStatus::kInternal, "message", "bytes after its end");
  return message;
}

Message decode_from_rank(std::string_view bytes) {
  ByteReader reader(checked_body(bytes));
  const auto version = reader.get<uint16_t>();
  if (version == kProtocolVersion) return decode(bytes);
  static const size_t kStop = Message(Stop{}).index();
  if (reader.get<uint16_t>() == kStop) return get<Stop>(reader);
  return Refuse{other_version(version).what()};
}

std::string_view message_name(const Message& message) { return kNames.at(message.index()); }

}  // namespace prune_sweep
