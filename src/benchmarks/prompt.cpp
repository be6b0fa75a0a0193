#include "prune_sweep/benchmarks/prompt.hpp"

#include <vector>

namespace prune_sweep {

namespace {

std::string solved(const Exemplar& exemplar) {
  return exemplar.question + " " + exemplar.answer + "\n\n";
}

}  // namespace

std::string_view PromptStyle::answer_delimiter() const {
  return chat.format == ChatFormat::kNone ? " " : "";
}

std::string PromptStyle::text() const {
  if (chat.format == ChatFormat::kNone) return "";
  return std::string("chat ") +
         (chat.format == ChatFormat::kMultiTurn ? "multi-turn" : "single-turn") + " thinking " +
         (chat.thinking == Thinking::kOn ? "on" : "off");
}

std::string make_prompt(
    const PromptStyle& style,
    const std::string& description,
    std::span<const Exemplar> exemplars,
    const std::string& question) {
  if (style.chat.format == ChatFormat::kNone) {
    std::string prompt = description;
    for (const Exemplar& exemplar : exemplars) prompt += solved(exemplar);
    return prompt + question;
  }
  std::vector<ChatMessage> messages;
  if (!description.empty()) messages.push_back({ChatRole::kSystem, description});
  std::string last_turn;
  for (const Exemplar& exemplar : exemplars) {
    if (style.chat.format == ChatFormat::kSingleTurn) {
      last_turn += solved(exemplar);
    } else {
      messages.push_back({ChatRole::kUser, exemplar.question});
      messages.push_back({ChatRole::kAssistant, exemplar.answer});
    }
  }
  messages.push_back({ChatRole::kUser, last_turn + question});
  return style.chat_template.value().render(messages, style.chat.thinking);
}

}  // namespace prune_sweep
