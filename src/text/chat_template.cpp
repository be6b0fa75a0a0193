#include "prune_sweep/text/chat_template.hpp"

#include <array>
#include <fstream>
#include <sstream>
#include <string_view>

#include "prune_sweep/core/check.hpp"
#include "prune_sweep/core/digest.hpp"
#include "prune_sweep/core/json_file.hpp"

namespace prune_sweep {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMaxConfigBytes = 16 << 20;
constexpr std::string_view kThinkEnd = "</think>";

std::string_view name(ChatRole role) {
  switch (role) {
    case ChatRole::kSystem:
      return "system";
    case ChatRole::kUser:
      return "user";
    case ChatRole::kAssistant:
      return "assistant";
  }
  return "";
}

/// What an assistant said earlier loses its reasoning.
std::string_view without_reasoning(std::string_view content) {
  const size_t end = content.rfind(kThinkEnd);
  if (end == std::string_view::npos) return content;
  content.remove_prefix(end + kThinkEnd.size());
  return content.substr(std::min(content.find_first_not_of('\n'), content.size()));
}

// Qwen3-0.6B's template without tools.
std::string render_qwen3(std::span<const ChatMessage> messages, Thinking thinking) {
  std::string text;
  for (const ChatMessage& message : messages) {
    text.append("<|im_start|>").append(name(message.role)).append("\n");
    text.append(
        message.role == ChatRole::kAssistant ? without_reasoning(message.content)
                                             : std::string_view(message.content));
    text.append("<|im_end|>\n");
  }
  text += "<|im_start|>assistant\n";
  if (thinking == Thinking::kOff) text += "<think>\n\n</think>\n\n";
  return text;
}

std::string read_template(const fs::path& model_dir, std::string& source) {
  const fs::path own_file = model_dir / "chat_template.jinja";
  if (fs::exists(own_file)) {
    source = own_file.string();
    std::ifstream file(own_file, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) bad_input(source, "cannot be read");
    return text.str();
  }
  source = (model_dir / "tokenizer_config.json").string();
  const nlohmann::json config = read_json_object(source, kMaxConfigBytes);
  const auto found = config.find("chat_template");
  if (found == config.end() || !found->is_string()) {
    bad_input(source + ": chat_template", "is not there", "Say benchmarks.chat-template=none.");
  }
  return found->get<std::string>();
}

}  // namespace

/// One row of the table of known templates.
struct ChatTemplateInfo {
  std::string_view name;
  std::string_view sha256;  ///< of the template's text
  std::string (*render)(std::span<const ChatMessage> messages, Thinking thinking);
};

namespace {

constexpr std::array kTemplates{
    ChatTemplateInfo{
        "Qwen3", "a55ee1b1660128b7098723e0abcd92caa0788061051c62d51cbe87d9cf1974d8", render_qwen3},
};

}  // namespace

ChatTemplate ChatTemplate::read(const fs::path& model_dir) {
  std::string source;
  const std::string digest = sha256_hex(read_template(model_dir, source));
  std::vector<std::string_view> names;
  for (const ChatTemplateInfo& info : kTemplates) {
    if (info.sha256 == digest) return ChatTemplate(info);
    names.push_back(info.name);
  }
  bad_input(
      source + ": chat_template",
      "not a template that is known (SHA-256 " + digest + ")",
      "Known: " + listed(names) + ". Or say benchmarks.chat-template=none.");
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages, Thinking thinking) const {
  return info_->render(messages, thinking);
}

}  // namespace prune_sweep
