#include "engine/plain/plain_kv.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/plain/to_device.hpp"

namespace prune_sweep {

PlainKv::PlainKv(
    const PackedRows& packed,
    const std::vector<int64_t>& wanted_rows,
    const StreamTree& tree,
    KeepKv keep,
    at::Device device,
    const DeviceOps& ops)
    : packed_(packed),
      device_(device),
      ops_(ops),
      all_(parts_of(all_queries(packed))),
      wanted_(parts_of(queries_of(packed, wanted_rows))),
      keep_(keep),
      prompts_(tree.levels.size()),
      own_(tree.levels.size()) {
  for (const std::vector<Branch>& level : tree.levels) num_branches_.push_back(std::ssize(level));
}

PlainKv::PromptParts PlainKv::parts_of(const std::vector<QueryRun>& queries) const {
  std::vector<VarlenPart> own;
  std::vector<int64_t> in_sequence;
  const QueryRun* before = nullptr;
  for (const QueryRun& run : queries) {
    const bool is_prefix = run.run == std::ssize(packed_.sequences);
    const int64_t end = run.first_position + run.count;
    const bool goes_on = before != nullptr && before->run == run.run &&
                         before->first_position + before->count == run.first_position;
    if (goes_on) {
      own.back().num_queries += run.count;
      own.back().num_keys += run.count;
    } else if (is_prefix) {
      own.push_back({run.count, 0, end});
    } else {
      const int64_t first_row = packed_.sequences[static_cast<size_t>(run.run)].first_row;
      own.push_back({run.count, first_row, end - packed_.prefix_len});
    }
    before = &run;
    for (int64_t i = 0; !is_prefix && i < run.count; ++i) in_sequence.push_back(run.first_row + i);
  }
  const VarlenPart prefix{std::ssize(in_sequence), 0, packed_.prefix_len};
  return {
      VarlenParts(std::move(own), device_),
      indices_on(device_, in_sequence),
      VarlenParts({prefix}, device_)};
}

PlainKv::KeyValues PlainKv::room(int64_t rows, const Qkv& qkv) {
  const auto make = [&] {
    return at::empty({rows, qkv.k.size(1), qkv.k.size(2)}, qkv.k.options());
  };
  return {make(), make()};
}

at::Tensor PlainKv::attend_prompts(size_t layer, size_t branch, const Qkv& qkv, Queries queries) {
  if (keep_ == KeepKv::kYes) {
    KeyValues& all = prompts_[layer];
    const int64_t rows = packed_.num_rows();
    if (!all.k.defined()) all = room(num_branches_[layer] * rows, qkv);
    all.k.narrow(0, static_cast<int64_t>(branch) * rows, rows).copy_(qkv.k);
    all.v.narrow(0, static_cast<int64_t>(branch) * rows, rows).copy_(qkv.v);
  }
  const PromptParts& parts = queries == Queries::kAllRows ? all_ : wanted_;
  const Attended own = attend_parts(qkv.q, qkv.k, qkv.v, parts.own, Mask::kCausal);
  if (packed_.prefix_len > 0 && parts.in_sequence.numel() > 0) {
    const at::Tensor q = qkv.q.index_select(0, parts.in_sequence);
    const Attended prefix = attend_parts(q, qkv.k, qkv.v, parts.prefix, Mask::kNone);
    const Attended in_sequence{
        own.values.index_select(0, parts.in_sequence),
        own.log_sum.index_select(1, parts.in_sequence)};
    own.values.index_copy_(0, parts.in_sequence, ops_.merge(in_sequence, prefix).values);
  }
  return own.values.reshape({qkv.q.size(0), -1});
}

void PlainKv::reserve_generated(int64_t num_slots, int64_t capacity) {
  num_slots_ = num_slots;
  capacity_ = capacity;
}

PlainKv::GeneratedParts PlainKv::parts_of(const std::vector<GeneratedRow>& rows) const {
  std::vector<int64_t> stored_at;
  std::vector<VarlenPart> prefix;  // one for all neighbours that read the same
  std::vector<VarlenPart> question;
  std::vector<VarlenPart> generated;
  std::vector<int64_t> without_question;
  for (const GeneratedRow& row : rows) {
    const int64_t first_row = static_cast<int64_t>(row.branch) * packed_.num_rows();
    const VarlenPart shared{1, first_row, std::min(packed_.prefix_len, row.prompt_len)};
    const bool is_as_before = !prefix.empty() && prefix.back().first_key == shared.first_key &&
                              prefix.back().num_keys == shared.num_keys;
    if (is_as_before) {
      ++prefix.back().num_queries;
    } else {
      prefix.push_back(shared);
    }
    // A prompt that lies in the prefix altogether has no question: one row stands for it, and
    // counts for nothing.
    const int64_t num_rows = row.prompt_len - shared.num_keys;
    if (num_rows == 0) without_question.push_back(std::ssize(question));
    const int64_t of_run = packed_.sequences[static_cast<size_t>(row.run)].first_row;
    question.push_back({1, first_row + of_run, std::max<int64_t>(1, num_rows)});
    generated.push_back({1, row.slot * capacity_, row.num_before + 1});
    stored_at.push_back(row.slot * capacity_ + row.num_before);
  }
  return {
      rows,
      indices_on(device_, stored_at),
      VarlenParts(std::move(prefix), device_),
      VarlenParts(std::move(question), device_),
      indices_on(device_, without_question),
      VarlenParts(std::move(generated), device_)};
}

at::Tensor PlainKv::attend_generated(
    size_t layer, const std::vector<GeneratedRow>& rows, const Qkv& qkv) {
  const KeyValues& prompts = prompts_[layer];
  KeyValues& own = own_[layer];
  if (!own.k.defined()) own = room(num_slots_ * capacity_, qkv);
  // Most layers of a step have the rows of the layer before.
  if (!latest_ || latest_->rows != rows) latest_ = parts_of(rows);
  const GeneratedParts& parts = *latest_;
  own.k.index_copy_(0, parts.stored_at, qkv.k);
  own.v.index_copy_(0, parts.stored_at, qkv.v);

  const auto attend = [&](const VarlenParts& to, const KeyValues& stored) {
    return attend_parts(qkv.q, stored.k, stored.v, to, Mask::kNone);
  };
  Attended of_question = attend(parts.question, prompts);
  if (parts.without_question.numel() > 0) {
    of_question.log_sum.index_fill_(
        1, parts.without_question, -std::numeric_limits<float>::infinity());
  }
  Attended all = ops_.merge(of_question, attend(parts.generated, own));
  if (packed_.prefix_len > 0) all = ops_.merge(all, attend(parts.prefix, prompts));
  return all.values.reshape({qkv.q.size(0), -1});
}

}  // namespace prune_sweep
