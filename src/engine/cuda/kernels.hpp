/// \file
/// The kernels of KernelTable.
#pragma once

#include "engine/cuda/kernel_table.hpp"

namespace prune_sweep::kernels {

const char* rms_norm(ElementType type, const NormTask& task, void* stream);
const char* turn_heads(ElementType type, const TurnTask& task, void* stream);
const char* silu_mul(ElementType type, const GateTask& task, void* stream);
const char* merge(ElementType type, const MergeTask& task, void* stream);
const char* attend_generated(ElementType type, const GeneratedTask& task, void* stream);
const char* scan_logits(const LogitsTask& task, void* stream);

}  // namespace prune_sweep::kernels
