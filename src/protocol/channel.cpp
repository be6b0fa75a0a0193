#include "prune_sweep/protocol/channel.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "prune_sweep/core/bytes.hpp"
#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

/// Far above any unit's result; a length beyond it is garbage and must not be waited for.
constexpr uint32_t kMaxMessageBytes = 256u << 20;

[[noreturn]] void socket_error(std::string_view action, std::string_view why) {
  throw Error(ExitStatus::kInternal, std::string("socket: ").append(action), why);
}

/// Waits until `fd` is ready for `events`; false after `timeout_ms` (-1: never).
bool wait_for(int fd, short events, int timeout_ms) {
  pollfd entry{fd, events, 0};
  while (true) {
    const int ready = ::poll(&entry, 1, timeout_ms);
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) socket_error("poll", std::strerror(errno));
  }
}

}  // namespace

Channel::~Channel() {
  if (fd_ >= 0) ::close(fd_);
}

Channel::Channel(Channel&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      closed_(other.closed_),
      buffer_(std::move(other.buffer_)) {}

Channel& Channel::operator=(Channel&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(closed_, other.closed_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

void Channel::send(const Message& message, double timeout_s) {
  const std::string body = encode(message);
  const std::string bytes = ByteWriter().put(std::string_view(body)).take();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t count =
        ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count >= 0) {
      sent += static_cast<size_t>(count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (std::chrono::steady_clock::now() > deadline) socket_error("send", "nobody reads");
      wait_for(fd_, POLLOUT, 100);
    } else if (errno != EINTR) {
      socket_error("send", std::strerror(errno));
    }
  }
}

void Channel::read_available() {
  std::array<char, 1 << 16> chunk;
  while (!closed_) {
    const ssize_t count = ::recv(fd_, chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (count > 0) {
      buffer_.append(chunk.data(), static_cast<size_t>(count));
    } else if (count == 0 || errno == ECONNRESET) {
      closed_ = true;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR) {
      socket_error("receive", std::strerror(errno));
    }
  }
}

bool Channel::has_whole_message() const {
  if (buffer_.size() < sizeof(uint32_t)) return false;
  const auto length = ByteReader(buffer_).get<uint32_t>();
  return buffer_.size() - sizeof length >= length;
}

std::optional<Message> Channel::take_from_buffer() {
  if (buffer_.size() < sizeof(uint32_t)) return std::nullopt;
  const auto length = ByteReader(buffer_).get<uint32_t>();
  if (length > kMaxMessageBytes) socket_error("receive", "a message of impossible length");
  if (!has_whole_message()) return std::nullopt;
  Message message = decode(std::string_view(buffer_).substr(sizeof length, length));
  buffer_.erase(0, sizeof length + length);
  return message;
}

std::optional<Message> Channel::poll() {
  if (auto message = take_from_buffer()) return message;
  read_available();
  return take_from_buffer();
}

std::optional<Message> Channel::receive() {
  while (true) {
    if (auto message = poll()) return message;
    if (closed_) return std::nullopt;
    wait_for(fd_, POLLIN, -1);
  }
}

std::pair<Channel, Channel> make_channel_pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    socket_error("make a pair", std::strerror(errno));
  }
  return {Channel(fds[0]), Channel(fds[1])};
}

}  // namespace prune_sweep
