#include "prune_sweep/core/bytes.hpp"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>

#include "core/message_of.hpp"

using namespace prune_sweep;

namespace {

std::atomic<size_t> largest_allocation{0};

}  // namespace

// Watched, so that a test can say what a reader never asked for.
[[gnu::noinline]] void* operator new(size_t size) {
  size_t largest = largest_allocation;
  while (size > largest && !largest_allocation.compare_exchange_weak(largest, size)) {
  }
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t size, const std::nothrow_t&) noexcept { return std::malloc(size); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace {

using Strings = std::vector<std::string>;

/// The bytes of the largest single allocation while `call` runs.
template <typename Call>
size_t largest_allocation_of(Call&& call) {
  largest_allocation = 0;
  call();
  return largest_allocation;
}

std::string count_bytes(uint32_t count, std::string_view rest) {
  return ByteWriter().put(count).take().append(rest);
}

}  // namespace

TEST_CASE("values come back as they were put, in order") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::string bytes = ByteWriter()
                                .put(uint8_t{255})
                                .put(int32_t{-7})
                                .put(uint64_t{1} << 63)
                                .put(-0.0)
                                .put(true)
                                .put(std::string_view("a\0b", 3))
                                .put(std::string_view())
                                .put(std::vector<float>{1.5f, nan})
                                .put(std::vector<int32_t>{})
                                .put(Strings{"x", "", "\xff"})
                                .take();
  ByteReader reader(bytes);
  CHECK(reader.get<uint8_t>() == 255);
  CHECK(reader.get<int32_t>() == -7);
  CHECK(reader.get<uint64_t>() == uint64_t{1} << 63);
  CHECK(std::signbit(reader.get<double>()));
  CHECK(reader.get<bool>());
  CHECK(reader.get<std::string>() == std::string("a\0b", 3));
  CHECK(reader.get<std::string>().empty());
  const auto floats = reader.get<std::vector<float>>();
  REQUIRE(floats.size() == 2);
  CHECK(floats[0] == 1.5f);
  CHECK(std::isnan(floats[1]));
  CHECK(reader.get<std::vector<int32_t>>().empty());
  CHECK(reader.get<Strings>() == Strings{"x", "", "\xff"});
  CHECK(reader.at_end());
}

TEST_CASE("bytes are little-endian with lengths in front") {
  CHECK(ByteWriter().put(uint32_t{0x01020304}).take() == std::string("\x04\x03\x02\x01", 4));
  CHECK(ByteWriter().put(std::string_view("hi")).take() == std::string("\x02\0\0\0hi", 6));
  CHECK(
      ByteWriter().put(std::vector<uint16_t>{1, 2}).take() ==
      std::string("\x02\0\0\0\x01\0\x02\0", 8));
}

TEST_CASE("every value that ends early is refused") {
  const std::string bytes =
      ByteWriter().put(int64_t{1}).put(std::string_view("text")).put(Strings{"a", "bc"}).take();
  for (size_t size = 0; size < bytes.size(); ++size) {
    CAPTURE(size);
    const std::string_view cut = std::string_view(bytes).substr(0, size);
    const Error error = error_of([&] {
      ByteReader reader(cut);
      reader.get<int64_t>();
      reader.get<std::string>();
      reader.get<Strings>();
    });
    CHECK(error.status() == ExitStatus::kInternal);
    CHECK_THAT(error.what(), ContainsSubstring("ends in the middle of a value"));
  }
}

TEST_CASE("a damaged count does not make the reader allocate") {
  const std::string rest(1000, '\0');
  for (const uint32_t count : {0xffffffffu, 0x80000000u, 100'000u, 1001u, 1000u, 251u}) {
    CAPTURE(count);
    const std::string bytes = count_bytes(count, rest);
    // 1,000 bytes hold at most 250 floats, or 250 empty strings of 32 bytes in memory.
    const size_t allocated = largest_allocation_of([&] {
      CHECK_THROWS_AS(ByteReader(bytes).get<std::vector<float>>(), Error);
      CHECK_THROWS_AS(ByteReader(bytes).get<Strings>(), Error);
      if (count > rest.size()) CHECK_THROWS_AS(ByteReader(bytes).get<std::string>(), Error);
    });
    CHECK(allocated < 10'000);
  }
}

TEST_CASE("a count that fits is read") {
  CHECK(ByteReader(count_bytes(250, std::string(1000, '\0'))).get<Strings>() == Strings(250));
  CHECK(ByteReader(count_bytes(1000, std::string(1000, 'x'))).get<std::string>().size() == 1000);
}
