/// \file
/// A model's conversation format. Templates are programs (Jinja); those that are known here are
/// written out and recognised by their digest, and no other is taken for one of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "prune_sweep/core/job.hpp"

namespace prune_sweep {

enum class ChatRole : uint8_t { kSystem, kUser, kAssistant };

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::string content;
};

struct ChatTemplateInfo;

class ChatTemplate {
 public:
  /// The one of MODEL_DIR/chat_template.jinja, else of tokenizer_config.json. Throws Error
  /// (kBadInput) naming the file when there is none, or none that is known.
  static ChatTemplate read(const std::filesystem::path& model_dir);

  /// The conversation up to where the assistant's answer begins. Preconditions: a system message,
  /// if any, comes first; the last message is the user's.
  std::string render(std::span<const ChatMessage> messages, Thinking thinking) const;

 private:
  explicit ChatTemplate(const ChatTemplateInfo& info) : info_(&info) {}

  const ChatTemplateInfo* info_;
};

}  // namespace prune_sweep
