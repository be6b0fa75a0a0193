#include "prune_sweep/core/record.hpp"

#include <array>
#include <cmath>

namespace prune_sweep {

namespace {

const std::array kMultipleChoiceColumns{
    Column{
        "loglik",
        "nat",
        "log-likelihood of each choice as continuation of the prompt",
        "",
        &Record::loglik},
    Column{
        "correct",
        "1",
        "whether the likeliest choice, the first on a tie, is the gold one",
        "0=wrong 1=correct 255=not evaluated",
        &Record::correct},
    Column{
        "greedy",
        "1",
        "bit c: choice c is the arg-max over the whole vocabulary; 255 = not evaluated",
        "",
        &Record::greedy},
    Column{
        "gold_probability",
        "1",
        "share of the gold choice in the probability of all choices",
        "",
        &Record::gold_probability},
};

const std::array kGenerationColumns{
    Column{
        "strict_correct",
        "1",
        "exact match of the answer after ####",
        "0=wrong 1=correct 255=not evaluated",
        &Record::strict_correct},
    Column{
        "flexible_correct",
        "1",
        "exact match of the last number in the response",
        "0=wrong 1=correct 255=not evaluated",
        &Record::flexible_correct},
    Column{
        "generated_tokens",
        "token",
        "number of new tokens, an end-of-text token included; -1 = not evaluated",
        "",
        &Record::generated_tokens},
    Column{
        "stop",
        "1",
        "why the generation ended",
        "0=eos 1=until 2=length 3=not finite 255=not evaluated",
        &Record::stop},
    Column{
        "response", "1", "generated text, cut before the first stop string", "", &Record::response},
    Column{
        "strict_answer",
        "1",
        "answer extracted by strict-match, or [invalid]",
        "",
        &Record::strict_answer},
    Column{
        "flexible_answer",
        "1",
        "answer extracted by flexible-extract, or [invalid]",
        "",
        &Record::flexible_answer},
    Column{
        "gold_loglik",
        "nat",
        "log-likelihood of the gold solution, its gold_tokens tokens, as continuation of the "
        "prompt",
        "",
        &Record::gold_loglik},
    Column{
        "repeats",
        "1",
        "whether the generation ends in the same tokens over and over",
        "0=no 1=yes 255=not evaluated",
        &Record::repeats},
};

}  // namespace

std::span<const Column> columns(BenchmarkKind kind) {
  if (kind == BenchmarkKind::kMultipleChoice) return kMultipleChoiceColumns;
  return kGenerationColumns;
}

uint8_t headline_correct(BenchmarkKind kind, const Record& record) {
  return kind == BenchmarkKind::kMultipleChoice ? record.correct : record.strict_correct;
}

size_t likeliest(std::span<const float> loglik) {
  size_t best = 0;
  for (size_t i = 0; i < loglik.size(); ++i) {
    if (std::isnan(loglik[i])) return i;
    if (loglik[i] > loglik[best]) best = i;
  }
  return best;
}

bool Record::operator==(const Record& other) const {
  for (const BenchmarkKind kind : {BenchmarkKind::kMultipleChoice, BenchmarkKind::kGeneration}) {
    ByteWriter own_bytes;
    ByteWriter other_bytes;
    put_record(own_bytes, kind, *this);
    put_record(other_bytes, kind, other);
    if (own_bytes.take() != other_bytes.take()) return false;
  }
  return true;
}

void put_record(ByteWriter& writer, BenchmarkKind kind, const Record& record) {
  writer.put(static_cast<uint8_t>(columns(kind).size()));
  for (const Column& column : columns(kind)) {
    std::visit([&](auto member) { writer.put(record.*member); }, column.member);
  }
}

Record get_record(ByteReader& reader, BenchmarkKind kind) {
  Record record;
  const auto count = reader.get<uint8_t>();
  if (count > columns(kind).size()) {
    throw Error(
        ExitStatus::kInternal, "record", "has columns that this version of prune-sweep lacks");
  }
  for (const Column& column : columns(kind).first(count)) {
    std::visit(
        [&](auto member) {
          record.*member = reader.get<std::remove_cvref_t<decltype(record.*member)>>();
        },
        column.member);
  }
  return record;
}

bool same_bytes(BenchmarkKind kind, const Record& a, const Record& b) {
  ByteWriter bytes_a;
  ByteWriter bytes_b;
  put_record(bytes_a, kind, a);
  put_record(bytes_b, kind, b);
  return bytes_a.take() == bytes_b.take();
}

}  // namespace prune_sweep
