/// \file
/// A prompt from its parts: as lm-evaluation-harness writes it, plain or by a chat template
/// (lm_eval/api/task.py, fewshot_context).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "prune_sweep/core/job.hpp"
#include "prune_sweep/text/chat_template.hpp"

namespace prune_sweep {

/// How prompts are written. A template is there unless the chat's format is kNone.
struct PromptStyle {
  Chat chat;
  std::optional<ChatTemplate> chat_template;

  /// What stands between a prompt and its answer: a blank, or nothing in a conversation.
  std::string_view answer_delimiter() const;
  /// Canonical text of what differs from a plain prompt: empty, or `chat multi-turn thinking off`.
  std::string text() const;
};

/// A question with its answer, shown before the one that is asked.
struct Exemplar {
  std::string question;
  std::string answer;
};

/// `description` comes first, or is the system's message; empty for none.
std::string make_prompt(
    const PromptStyle& style,
    const std::string& description,
    std::span<const Exemplar> exemplars,
    const std::string& question);

}  // namespace prune_sweep
