#include "prune_sweep/sweep/commit_queue.hpp"

#include "catch.hpp"
#include "core/message_of.hpp"
#include "prune_sweep/core/check.hpp"

using namespace prune_sweep;

namespace {

/// A disk that can refuse, and what it and the workers were given.
struct FakeDisk {
  std::vector<int32_t> appended;
  std::vector<int32_t> committed;
  std::vector<int32_t> sent;
  int num_appends_left = 1'000;
  bool commits = true;

  CommitQueue queue() {
    return CommitQueue(
        {.append =
             [this](const JournalEntry& entry) {
               if (num_appends_left == 0) throw Error(ExitStatus::kDisk, "append", "no space");
               --num_appends_left;
               appended.push_back(std::get<WorkerEntry>(entry).rank);
             },
         .commit =
             [this] {
               if (!commits) throw Error(ExitStatus::kDisk, "commit", "input/output error");
               committed = appended;
             },
         .send = [this](const Send& send) { sent.push_back(send.worker); }});
  }
};

Commit entry(int32_t number) { return {WorkerEntry{number, "", "", ""}}; }
Send message(int32_t worker) { return {worker, Stop{}}; }

}  // namespace

TEST_CASE("what came together is committed together, and only then is anything sent") {
  FakeDisk disk;
  CommitQueue queue = disk.queue();
  CHECK(queue.is_empty());
  queue.add(entry(1));
  queue.add(message(7));
  queue.add(entry(2));
  CHECK_FALSE(queue.is_empty());
  CHECK(disk.appended.empty());
  CHECK_FALSE(queue.flush());
  CHECK(disk.committed == std::vector<int32_t>{1, 2});
  CHECK(disk.sent == std::vector<int32_t>{7});
  CHECK(queue.is_empty());
}

TEST_CASE("while the disk is full nothing is sent and nothing is lost") {
  FakeDisk disk;
  CommitQueue queue = disk.queue();
  for (int32_t number = 1; number <= 3; ++number) queue.add(entry(number));
  queue.add(message(7));
  disk.num_appends_left = 2;
  CHECK_THAT(queue.flush().value_or(""), ContainsSubstring("no space"));
  CHECK(queue.flush());
  CHECK(disk.sent.empty());
  queue.add(entry(4));
  disk.num_appends_left = 10;
  CHECK_FALSE(queue.flush());
  CHECK(disk.committed == std::vector<int32_t>{1, 2, 3, 4});
  CHECK(disk.sent == std::vector<int32_t>{7});
}

TEST_CASE("after a failed sync everything is written once more") {
  FakeDisk disk;
  CommitQueue queue = disk.queue();
  queue.add(entry(1));
  queue.add(entry(2));
  queue.add(message(7));
  disk.commits = false;
  CHECK(queue.flush());
  CHECK(disk.sent.empty());
  disk.commits = true;
  CHECK_FALSE(queue.flush());
  CHECK(disk.committed == std::vector<int32_t>{1, 2, 1, 2});
  CHECK(disk.sent == std::vector<int32_t>{7});
}
