/// \file
/// Messages over a stream socket: the carrier between a supervisor and its evaluator.
#pragma once

#include <optional>
#include <string>

#include "prune_sweep/protocol/message.hpp"

namespace prune_sweep {

/// One end of a socket pair; closes it.
class Channel {
 public:
  explicit Channel(int fd) : fd_(fd) {}
  ~Channel();
  Channel(Channel&& other) noexcept;
  Channel& operator=(Channel&& other) noexcept;

  int fd() const { return fd_; }

  /// Sends a whole message; waits for room in the socket up to `timeout_s`. Throws Error
  /// (kInternal) when the other end is gone or does not read in time.
  void send(const Message& message, double timeout_s = 30);

  /// The next whole message if one can be had without waiting. Throws Error (kInternal) for damaged
  /// bytes.
  std::optional<Message> poll();

  /// Waits for the next message; nothing when the other end closed the socket.
  std::optional<Message> receive();

  /// Whether the other end has closed the socket and all its messages are read.
  bool is_closed() const { return closed_ && !has_whole_message(); }

 private:
  bool has_whole_message() const;
  std::optional<Message> take_from_buffer();
  void read_available();

  int fd_ = -1;
  bool closed_ = false;
  std::string buffer_;
};

/// A connected pair of close-on-exec stream sockets. Throws Error (kInternal) when the system
/// refuses.
std::pair<Channel, Channel> make_channel_pair();

}  // namespace prune_sweep
