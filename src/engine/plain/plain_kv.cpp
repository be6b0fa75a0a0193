#include "engine/plain/plain_kv.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

#include "engine/to_device.hpp"

namespace prune_sweep {

/// Rows in one layer, and on the device what the kernel reads of them.
struct PlainKv::Rows final : GeneratedRows {
  Rows(size_t its_layer, std::vector<GeneratedRow> its_rows, VarlenParts its_prefix)
      : layer(its_layer), rows(std::move(its_rows)), prefix(std::move(its_prefix)) {}

  size_t layer;
  std::vector<GeneratedRow> rows;
  VarlenParts prefix;  ///< one part for all neighbours that read the same
  at::Tensor numbers;  // [5, rows], int32: see attend_generated()
};

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
      all_queries_(all_queries(packed)),
      wanted_queries_(queries_of(packed, wanted_rows)),
      keep_(keep),
      prompts_(tree.levels.size()),
      own_(tree.levels.size()) {
  for (const std::vector<Branch>& level : tree.levels) num_branches_.push_back(std::ssize(level));
}

PlainKv::PromptParts PlainKv::parts_of(
    const std::vector<QueryRun>& queries, int64_t num_branches) const {
  std::vector<VarlenPart> own;
  std::vector<VarlenPart> prefix;
  for (int64_t branch = 0; branch < num_branches; ++branch) {
    const int64_t first_of_branch = branch * packed_.num_rows();
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
        own.push_back({run.count, first_of_branch, end});
      } else {
        const int64_t first_row = packed_.sequences[static_cast<size_t>(run.run)].first_row;
        own.push_back({run.count, first_of_branch + first_row, end - packed_.prefix_len});
      }
      const VarlenPart of_prefix{run.count, first_of_branch, is_prefix ? 0 : packed_.prefix_len};
      const bool reads_the_same = before != nullptr && prefix.back().num_keys == of_prefix.num_keys;
      if (reads_the_same) {
        prefix.back().num_queries += run.count;
      } else {
        prefix.push_back(of_prefix);
      }
      before = &run;
    }
  }
  return {VarlenParts(std::move(own), device_), VarlenParts(std::move(prefix), device_)};
}

const PlainKv::PromptParts& PlainKv::prompt_parts(Queries queries, int64_t num_branches) {
  const auto known = prompt_parts_.find({queries, num_branches});
  if (known != prompt_parts_.end()) return known->second;
  const auto& runs = queries == Queries::kAllRows ? all_queries_ : wanted_queries_;
  return prompt_parts_.emplace(std::pair(queries, num_branches), parts_of(runs, num_branches))
      .first->second;
}

PlainKv::KeyValues PlainKv::room(at::IntArrayRef shape, const at::Tensor& like) {
  return {at::empty(shape, like.options()), at::empty(shape, like.options())};
}

VarlenPart PlainKv::question_of(const GeneratedRow& row) const {
  const int64_t of_branch = static_cast<int64_t>(row.branch) * packed_.num_rows();
  const int64_t of_run = packed_.sequences[static_cast<size_t>(row.run)].first_row;
  return {1, of_branch + of_run, std::max<int64_t>(0, row.prompt_len - packed_.prefix_len)};
}

at::Tensor PlainKv::attend_prompts(
    size_t layer, std::span<const int64_t> branches, const Qkv& qkv, Queries queries) {
  if (keep_ == KeepKv::kYes) {
    KeyValues& all = prompts_[layer];
    const int64_t rows = packed_.num_rows();
    if (!all.k.defined()) {
      all = room({num_branches_[layer] * rows, qkv.k.size(1), qkv.k.size(2)}, qkv.k);
    }
    for (int64_t i = 0; i < std::ssize(branches); ++i) {
      const int64_t to = branches[static_cast<size_t>(i)] * rows;
      all.k.narrow(0, to, rows).copy_(qkv.k.narrow(0, i * rows, rows));
      all.v.narrow(0, to, rows).copy_(qkv.v.narrow(0, i * rows, rows));
    }
  }
  const PromptParts& parts = prompt_parts(queries, std::ssize(branches));
  Attended attended = attend_parts(qkv.q, qkv.k, qkv.v, parts.own, Mask::kCausal);
  if (parts.prefix.most_keys() > 0) {
    const Attended prefix = attend_parts(qkv.q, qkv.k, qkv.v, parts.prefix, Mask::kNone);
    ops_.merge(attended, prefix, LogSums::kNotWanted);
  }
  return attended.values.reshape({qkv.q.size(0), -1});
}

void PlainKv::reserve_generated(int64_t num_slots, int64_t capacity) {
  num_slots_ = num_slots;
  capacity_ = capacity;
}

std::unique_ptr<GeneratedRows> PlainKv::tell_rows(
    size_t layer, const std::vector<GeneratedRow>& rows) const {
  const auto num_rows = std::ssize(rows);
  at::Tensor numbers = at::empty({5, num_rows}, at::kInt);
  int32_t* const order = numbers.data_ptr<int32_t>();
  int32_t* prompt_len = order + num_rows;
  int32_t* first_question = prompt_len + num_rows;
  int32_t* num_question = first_question + num_rows;
  int32_t* slot = num_question + num_rows;
  std::vector<VarlenPart> prefix;
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
    const VarlenPart of_question = question_of(row);
    *prompt_len++ = static_cast<int32_t>(row.prompt_len);
    *first_question++ = static_cast<int32_t>(of_question.first_key);
    *num_question++ = static_cast<int32_t>(of_question.num_keys);
    *slot++ = static_cast<int32_t>(row.slot);
  }
  // Rows that read the same question, one behind the other: it is then read from a cache.
  std::iota(order, order + num_rows, 0);
  std::stable_sort(order, order + num_rows, [&](int32_t a, int32_t b) {
    const GeneratedRow& of_a = rows[static_cast<size_t>(a)];
    const GeneratedRow& of_b = rows[static_cast<size_t>(b)];
    return std::tie(of_a.run, of_a.branch) < std::tie(of_b.run, of_b.branch);
  });
  auto told = std::make_unique<Rows>(layer, rows, VarlenParts(std::move(prefix), device_));
  told->numbers = to_device(numbers, device_);
  return told;
}

at::Tensor PlainKv::attend_generated(
    const GeneratedRows& rows, const at::Tensor& positions, const Qkv& qkv) {
  const auto& told = static_cast<const Rows&>(rows);
  const int64_t num_rows = qkv.q.size(0);
  if (!ops_.can_attend_generated(qkv.q.scalar_type(), qkv.q.size(2))) {
    return attend_in_parts(told, positions, qkv).values.reshape({num_rows, -1});
  }
  KeyValues& own = own_[told.layer];
  if (!own.k.defined()) {
    own = room({num_slots_, qkv.k.size(1), capacity_, qkv.k.size(2)}, qkv.k);
  }
  const KeyValues& prompts = prompts_[told.layer];
  Attended prefix;
  if (packed_.prefix_len > 0) {
    prefix = attend_parts(qkv.q, prompts.k, prompts.v, told.prefix, Mask::kNone);
  }
  const GeneratedReads reads{
      .prompts_k = prompts.k,
      .prompts_v = prompts.v,
      .slots_k = own.k,
      .slots_v = own.v,
      .order = told.numbers[0],
      .positions = positions,
      .prompt_lens = told.numbers[1],
      .first_question = told.numbers[2],
      .num_question = told.numbers[3],
      .slots = told.numbers[4]};
  return ops_.attend_generated(qkv, reads, prefix).view({num_rows, -1});
}

Attended PlainKv::attend_in_parts(const Rows& rows, const at::Tensor& positions, const Qkv& qkv) {
  const KeyValues& prompts = prompts_[rows.layer];
  KeyValues& own = own_[rows.layer];
  if (!own.k.defined()) {
    own = room({num_slots_ * capacity_, qkv.k.size(1), qkv.k.size(2)}, qkv.k);
  }
  const at::Tensor on_host = positions.cpu();
  const int32_t* position = on_host.const_data_ptr<int32_t>();
  std::vector<int64_t> stored_at;
  std::vector<VarlenPart> question;
  std::vector<VarlenPart> generated;
  std::vector<int64_t> without_question;
  for (const GeneratedRow& row : rows.rows) {
    // A prompt that lies in the prefix altogether has no question: one row stands for it, and
    // counts for nothing.
    question.push_back(question_of(row));
    if (question.back().num_keys == 0) {
      without_question.push_back(std::ssize(question) - 1);
      question.back().num_keys = 1;
    }
    const int64_t num_before = *position++ - row.prompt_len;
    generated.push_back({1, row.slot * capacity_, num_before + 1});
    stored_at.push_back(row.slot * capacity_ + num_before);
  }
  const at::Tensor index = indices_on(device_, stored_at);
  own.k.index_copy_(0, index, qkv.k);
  own.v.index_copy_(0, index, qkv.v);

  const auto attend = [&](const VarlenParts& to, const KeyValues& stored) {
    return attend_parts(qkv.q, stored.k, stored.v, to, Mask::kNone);
  };
  Attended all = attend(VarlenParts(std::move(generated), device_), own);
  Attended of_question = attend(VarlenParts(std::move(question), device_), prompts);
  if (!without_question.empty()) {
    of_question.log_sum.index_fill_(
        1, indices_on(device_, without_question), -std::numeric_limits<float>::infinity());
  }
  ops_.merge(all, of_question, LogSums::kMerged);
  if (packed_.prefix_len > 0) {
    ops_.merge(all, attend(rows.prefix, prompts), LogSums::kNotWanted);
  }
  return all;
}

}  // namespace prune_sweep
