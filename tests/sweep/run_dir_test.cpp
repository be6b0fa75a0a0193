#include "prune_sweep/sweep/run_dir.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <functional>
#include <thread>

#include "core/message_of.hpp"
#include "temp_dir.hpp"

using namespace prune_sweep;

namespace fs = std::filesystem;

namespace {

/// Exit status of `body` in a process of its own, as another user where this one may do everything.
int in_child_as_nobody(const std::function<int()>& body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(100);
    int status = 101;
    try {
      status = body();
    } catch (...) {
    }
    ::_exit(status);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

/// 0: usable; 1: refused as the user's fault with `words`; else something wrong.
int usability(const fs::path& path, const std::string& words) {
  try {
    RunDir(path).require_usable();
    return 0;
  } catch (const Error& error) {
    const bool expected = error.status() == ExitStatus::kBadInput &&
                          std::string(error.what()).find(words) != std::string::npos;
    return expected ? 1 : 2;
  }
}

/// A process that holds the lock of a run until it is killed.
class LockHolder {
 public:
  explicit LockHolder(const RunDir& run) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) hold(run, ends[1]);
    ::close(ends[1]);
    char ready = 0;
    REQUIRE(::read(ends[0], &ready, 1) == 1);
    ::close(ends[0]);
  }
  ~LockHolder() { kill(); }
  LockHolder(const LockHolder&) = delete;
  LockHolder& operator=(const LockHolder&) = delete;

  pid_t pid() const { return pid_; }

  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  [[noreturn]] static void hold(const RunDir& run, int ready_fd) {
    try {
      const RunLock lock(run);
      if (::write(ready_fd, "x", 1) == 1) {
        while (true) ::pause();
      }
    } catch (...) {
    }
    ::_exit(1);
  }

  pid_t pid_ = -1;
};

}  // namespace

TEST_CASE("the paths of a run have the names that others rely on") {
  const RunDir run("/runs/one");
  CHECK(run.path() == "/runs/one");
  CHECK(run.job() == "/runs/one/job.ini");
  CHECK(run.plan() == "/runs/one/plan.json");
  CHECK(run.archive() == "/runs/one/archive.h5");
  CHECK(run.status() == "/runs/one/status.json");
  CHECK(run.done() == "/runs/one/DONE");
  CHECK(run.log(3) == "/runs/one/log/rank-3.jsonl");
}

TEST_CASE("journals are numbered from 1 and listed oldest first") {
  const TempDir dir;
  const RunDir run(dir.path() / "run");
  CHECK(run.journals().empty());
  CHECK(run.next_journal() == run.path() / "journal-0001.bin");
  run.create();
  std::vector<fs::path> expected;
  for (int i = 1; i <= 12; ++i) {
    const fs::path next = run.next_journal();
    CHECK(next.filename() == (i < 10 ? "journal-000" : "journal-00") + std::to_string(i) + ".bin");
    expected.push_back(dir.write(fs::path("run") / next.filename(), "x"));
    CHECK(run.journals() == expected);
  }
  dir.write("run/journal-0003.bin.tmp", "x");
  dir.write("run/notes.bin", "x");
  CHECK(run.journals() == expected);
}

TEST_CASE("a journal that was removed does not make the next one older than the others") {
  const TempDir dir;
  const RunDir run(dir.path());
  dir.write("journal-0002.bin", "x");
  dir.write("journal-0007.bin", "x");
  CHECK(run.next_journal().filename() == "journal-0008.bin");
}

TEST_CASE("folders that a run can be made or resumed in are taken, and nothing is made") {
  const TempDir dir;
  fs::create_directories(dir.path() / "empty");
  dir.write("run/job.ini", "");
  dir.write("run/archive.h5", "");
  // A start that was killed before it wrote its job.
  dir.write("begun/lock", "host pid 1");
  dir.write("begun/log/rank-0.jsonl", "");
  dir.write("begun/journal-0001.bin", "");
  dir.write("begun/.job.ini.17.tmp", "");
  for (const char* name : {"new", "new/deep/er", "empty", "run", "begun"}) {
    CAPTURE(name);
    CHECK_NOTHROW(RunDir(dir.path() / name).require_usable());
  }
  CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 3);
  CHECK(RunDir(dir.path() / "run").is_run());
  CHECK_FALSE(RunDir(dir.path() / "empty").is_run());
  CHECK_NOTHROW(RunDir("no-such-folder-here/run").require_usable());
  CHECK_NOTHROW(RunDir("no-such-folder-here").require_usable());
}

TEST_CASE("places where no run can be are refused") {
  const TempDir dir;
  dir.write("file", "x");
  dir.write("thesis/chapter1.tex", "x");
  dir.write("log-and-more/lock", "x");
  dir.write("log-and-more/data.csv", "x");
  CHECK(usability(dir.path() / "file", "is not a folder") == 1);
  CHECK(usability(dir.path() / "file" / "run", "is not a folder") == 1);
  CHECK(usability(dir.path() / "thesis", "holds files that are not of a run") == 1);
  CHECK(usability(dir.path() / "log-and-more", "holds files that are not of a run") == 1);
  // Where nobody can make a folder, whatever the permissions say.
  CHECK(usability("/proc/run", "output.dir cannot be") == 1);
}

TEST_CASE("a folder that may not be written or entered is refused with the system's reason") {
  const TempDir dir;
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  fs::create_directories(dir.path() / "open");
  fs::create_directories(dir.path() / "closed" / "inside");
  REQUIRE(::chmod((dir.path() / "open").c_str(), 0555) == 0);
  REQUIRE(::chmod((dir.path() / "closed").c_str(), 0000) == 0);
  for (const char* name :
       {"open", "open/run", "closed/run", "closed/inside", "closed/inside/run"}) {
    CAPTURE(name);
    CHECK(in_child_as_nobody([&] {
            return usability(dir.path() / name, "cannot be written (Permission denied)");
          }) == 1);
  }
  REQUIRE(::chmod((dir.path() / "closed").c_str(), 0755) == 0);
}

TEST_CASE("a run's folder is made with its log folder, and again without harm") {
  const TempDir dir;
  const RunDir run(dir.path() / "a" / "b");
  run.create();
  CHECK(fs::is_directory(run.path() / "log"));
  CHECK_NOTHROW(run.create());
  dir.write("file", "x");
  const Error error = error_of([&] { RunDir(dir.path() / "file" / "run").create(); });
  CHECK(error.status() == ExitStatus::kDisk);
  CHECK_THAT(error.what(), ContainsSubstring("file/run"));
}

TEST_CASE("a text file that cannot be read is refused by name") {
  const TempDir dir;
  CHECK_THAT(
      refusal_of([&] { read_text_file(dir.path() / "missing"); }),
      ContainsSubstring("missing: cannot be read (No such file"));
  CHECK_THAT(refusal_of([&] { read_text_file(dir.path()); }), ContainsSubstring("cannot be read"));
}

TEST_CASE("a second start is refused with host and pid of the first") {
  const TempDir dir;
  const RunDir run(dir.path());
  LockHolder holder(run);
  std::array<char, 256> host{};
  REQUIRE(::gethostname(host.data(), host.size() - 1) == 0);
  const std::string message = refusal_of([&] { RunLock{run}; });
  CHECK_THAT(message, ContainsSubstring(dir.path().string()) && ContainsSubstring(host.data()));
  CHECK_THAT(message, ContainsSubstring("pid " + std::to_string(holder.pid())));
  // Its death, however sudden, frees the lock.
  holder.kill();
  CHECK_NOTHROW(RunLock{run});
}

TEST_CASE("a lock is free again when its object ends, and is not inherited by started programs") {
  const TempDir dir;
  const RunDir run(dir.path());
  {
    const RunLock lock(run);
    CHECK_THROWS_AS(RunLock{run}, Error);
  }
  pid_t sleeper = -1;
  {
    const RunLock lock(run);
    sleeper = ::fork();
    REQUIRE(sleeper >= 0);
    if (sleeper == 0) {
      ::execlp("sleep", "sleep", "60", nullptr);
      ::_exit(1);
    }
    // The program is started when its lock descriptor is closed.
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  CHECK_NOTHROW(RunLock{run});
  ::kill(sleeper, SIGKILL);
  ::waitpid(sleeper, nullptr, 0);
  CHECK(error_of([&] { RunLock{RunDir(dir.path() / "missing")}; }).status() == ExitStatus::kDisk);
}

TEST_CASE("whoever gets the lock removes what killed processes have left half-written") {
  const TempDir dir;
  const RunDir run(dir.path());
  for (const char* name : {".archive.h5.123.tmp", ".status.json.9.tmp", "mine.tmp", ".7.tmp"}) {
    dir.write(name, "half");
  }
  {
    LockHolder holder(run);
    dir.write(".plan.json.5.tmp", "in the making");
    CHECK_THROWS_AS(RunLock{run}, Error);
    CHECK_FALSE(RunLock::if_free(run));
    CHECK(fs::exists(dir.path() / ".plan.json.5.tmp"));
  }
  CHECK(RunLock::if_free(run));
  for (const char* name : {".archive.h5.123.tmp", ".status.json.9.tmp", ".plan.json.5.tmp"}) {
    CHECK_FALSE(fs::exists(dir.path() / name));
  }
  CHECK(fs::exists(dir.path() / "mine.tmp"));
  CHECK(fs::exists(dir.path() / ".7.tmp"));
}

TEST_CASE("a holder that has not yet written its name has the lock all the same") {
  const TempDir dir;
  const RunDir run(dir.path());
  LockHolder holder(run);
  dir.write("lock", "");
  CHECK_THAT(refusal_of([&] { RunLock{run}; }), ContainsSubstring("another start is running"));
  CHECK_FALSE(RunLock::if_free(run));
}

TEST_CASE("a holder on a host that file locks do not reach is believed while it writes") {
  const TempDir dir;
  const RunDir run(dir.path());
  const auto minutes_ago = fs::file_time_type::clock::now() - std::chrono::minutes(5);
  dir.write("lock", "another-host pid 17");
  dir.write("status.json", "{}");
  fs::last_write_time(run.lock(), minutes_ago);
  const std::string message = refusal_of([&] { RunLock{run}; });
  CHECK_THAT(message, ContainsSubstring("another-host pid 17"));
  CHECK_THAT(message, ContainsSubstring("remove " + run.lock().string()));
  CHECK(read_text_file(run.lock()) == "another-host pid 17");
  // The refused start was no sign of life of the other.
  fs::last_write_time(run.status(), minutes_ago);
  CHECK_NOTHROW(RunLock{run});
  // A start that has ended leaves nobody's name.
  CHECK(read_text_file(run.lock()).empty());
}

TEST_CASE("a holder of this host that is dead does not count, however fresh its name") {
  const TempDir dir;
  const RunDir run(dir.path());
  std::array<char, 256> host{};
  REQUIRE(::gethostname(host.data(), host.size() - 1) == 0);
  dir.write("lock", std::string(host.data()) + " pid 17");
  dir.write("status.json", "{}");
  CHECK_NOTHROW(RunLock{run});
}
