#include "prune_sweep/protocol/channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "core/message_of.hpp"
#include "prune_sweep/core/bytes.hpp"

using namespace prune_sweep;

namespace {

constexpr size_t kMoreThanASocketHolds = 8'000'000;

/// Bytes as they come, past Channel's own framing.
void write_raw(const Channel& channel, const std::string& bytes) {
  REQUIRE(
      ::send(channel.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
      static_cast<ssize_t>(bytes.size()));
}

std::string framed(const Message& message) {
  return ByteWriter().put(std::string_view(encode(message))).take();
}

int32_t unit_of(const std::optional<Message>& message) {
  REQUIRE(message.has_value());
  REQUIRE(std::holds_alternative<Committed>(*message));
  return std::get<Committed>(*message).unit;
}

}  // namespace

TEST_CASE("messages arrive one by one and in order") {
  auto [a, b] = make_channel_pair();
  CHECK_FALSE(b.poll().has_value());
  for (int32_t unit = 0; unit < 100; ++unit) a.send(Committed{unit});
  for (int32_t unit = 0; unit < 50; ++unit) CHECK(unit_of(b.poll()) == unit);
  for (int32_t unit = 50; unit < 100; ++unit) CHECK(unit_of(b.receive()) == unit);
  CHECK_FALSE(b.poll().has_value());
  CHECK_FALSE(b.is_closed());
}

TEST_CASE("messages larger than the socket's buffer pass both ways at once") {
  auto [a, b] = make_channel_pair();
  const std::string text(kMoreThanASocketHolds, 'x');
  const auto exchange = [&text](Channel& channel, std::vector<size_t>& received) {
    std::thread reader([&] {
      for (int i = 0; i < 3; ++i) {
        const auto message = channel.receive();
        received.push_back(message ? std::get<Setup>(*message).job_text.size() : 0);
      }
    });
    for (size_t i = 0; i < 3; ++i) channel.send(Setup{.job_text = text + std::string(i, 'y')});
    reader.join();
  };
  std::vector<size_t> at_a;
  std::vector<size_t> at_b;
  std::thread other([&, &channel = b] { exchange(channel, at_b); });
  exchange(a, at_a);
  other.join();
  const std::vector<size_t> expected{text.size(), text.size() + 1, text.size() + 2};
  CHECK(at_a == expected);
  CHECK(at_b == expected);
}

TEST_CASE("a message in pieces is given out when it is whole") {
  auto [a, b] = make_channel_pair();
  const std::string bytes = framed(Committed{1}) + framed(Committed{2});
  size_t num_messages = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    write_raw(a, bytes.substr(i, 1));
    const auto message = b.poll();
    CAPTURE(i);
    REQUIRE(message.has_value() == (i + 1 == bytes.size() / 2 || i + 1 == bytes.size()));
    if (message) REQUIRE(unit_of(message) == static_cast<int32_t>(++num_messages));
  }
}

TEST_CASE("what was sent before the other end closed still arrives") {
  auto [a, b] = make_channel_pair();
  {
    const Channel closing = std::move(a);
    Channel sender(::dup(closing.fd()));
    sender.send(Committed{1});
    sender.send(Committed{2});
  }
  CHECK(unit_of(b.poll()) == 1);
  CHECK_FALSE(b.is_closed());
  CHECK(unit_of(b.receive()) == 2);
  CHECK_FALSE(b.receive().has_value());
  CHECK(b.is_closed());
  CHECK_FALSE(b.poll().has_value());
}

TEST_CASE("an end that closes in the middle of a message is closed, and the piece is no message") {
  const std::string bytes = framed(Committed{1});
  for (size_t size = 0; size < bytes.size(); ++size) {
    CAPTURE(size);
    auto [a, b] = make_channel_pair();
    {
      const Channel closing = std::move(a);
      if (size > 0) write_raw(closing, bytes.substr(0, size));
    }
    CHECK_FALSE(b.receive().has_value());
    CHECK(b.is_closed());
  }
}

TEST_CASE("damaged bytes are refused") {
  struct Row {
    const char* name;
    std::string bytes;
  };
  std::string flipped = framed(Committed{1});
  flipped[6] = static_cast<char>(flipped[6] ^ 1);
  const std::vector<Row> rows{
      {"an impossible length", std::string(4, '\xff') + "garbage"},
      {"a length just too large", ByteWriter().put((256u << 20) + 1).take()},
      {"no message at all", std::string(4, '\0')},
      {"a flipped bit", flipped},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    auto [a, b] = make_channel_pair();
    write_raw(a, row.bytes);
    const Error error = error_of([&, &channel = b] { channel.receive(); });
    CHECK(error.status() == ExitStatus::kInternal);
  }
}

TEST_CASE("sending to an end that is gone is an error, not a signal") {
  auto [a, b] = make_channel_pair();
  { const Channel closing = std::move(b); }
  const Error error = error_of([&, &channel = a] { channel.send(Committed{1}); });
  CHECK(error.status() == ExitStatus::kInternal);
  CHECK_THAT(error.what(), ContainsSubstring("socket: send") && ContainsSubstring("Broken pipe"));
}

TEST_CASE("sending to an end that goes away meanwhile is an error") {
  auto [a, b] = make_channel_pair();
  std::thread closer([&channel = b] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const Channel closing = std::move(channel);
  });
  CHECK_THROWS_AS(a.send(Setup{.job_text = std::string(kMoreThanASocketHolds, 'x')}), Error);
  closer.join();
}

TEST_CASE("sending to an end that does not read ends after the timeout") {
  auto [a, b] = make_channel_pair();
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THAT(
      message_of([&, &channel = a] {
        channel.send(Setup{.job_text = std::string(kMoreThanASocketHolds, 'x')}, 0.2);
      }),
      ContainsSubstring("nobody reads"));
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  CHECK(elapsed.count() >= 0.2);
  CHECK(elapsed.count() < 5);
}

TEST_CASE("the sockets are closed in programs that are started, and with their channels") {
  int fd = -1;
  {
    auto [a, b] = make_channel_pair();
    fd = a.fd();
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(b.fd(), F_GETFD) & FD_CLOEXEC) != 0);
    const Channel moved = std::move(a);
    CHECK(a.fd() == -1);
    CHECK(moved.fd() == fd);
  }
  CHECK(::fcntl(fd, F_GETFD) == -1);
}

TEST_CASE("a channel takes another's place with its unread bytes") {
  auto [a, b] = make_channel_pair();
  auto [c, d] = make_channel_pair();
  a.send(Committed{1});
  a.send(Committed{2});
  CHECK(unit_of(b.poll()) == 1);
  d = std::move(b);
  CHECK(unit_of(d.poll()) == 2);
  CHECK_FALSE(d.is_closed());
}
