#include "evaluator/faults.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

constexpr std::string_view kVariable = "PRUNE_SWEEP_FAULTS";
constexpr std::array<std::string_view, 9> kKinds{
    "kill", "segv", "abort", "stop", "hang", "exit", "garbage", "fail", "refuse"};

/// The text before `separator`, which is taken out of `text` with it; all of it when there is none.
std::string_view take_until(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view front = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return front;
}

void sleep_for(double seconds) {
  if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

double number(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  require(!copy.empty() && *end == '\0', kVariable, "'" + printable(copy) + "' is not a number");
  return value;
}

}  // namespace

Faults::Faults(std::string_view text, int channel_fd) : channel_fd_(channel_fd) {
  while (!text.empty()) {
    std::string_view place = take_until(text, ',');
    Fault fault{.kind = std::string(take_until(place, '='))};
    if (fault.kind == "delay" || fault.kind == "pause") {
      (fault.kind == "delay" ? delay_s_ : pause_s_) = number(place);
      continue;
    }
    require(
        std::find(kKinds.begin(), kKinds.end(), fault.kind) != kKinds.end(),
        kVariable,
        "'" + printable(fault.kind) + "' is not a fault");
    if (place != "start") {
      fault.benchmark = take_until(place, ':');
      fault.question = static_cast<int32_t>(number(take_until(place, '@')));
      if (!place.empty()) fault.max_attempt = static_cast<int32_t>(number(place));
    }
    faults_.push_back(std::move(fault));
  }
}

void Faults::on_setup() const {
  for (const Fault& fault : faults_) {
    if (fault.benchmark.empty()) strike(fault);
  }
}

void Faults::on_batch() const { sleep_for(pause_s_); }

void Faults::on_lease(const Lease& lease) const {
  sleep_for(delay_s_);
  for (const Fault& fault : faults_) {
    const bool has_question =
        std::find(lease.questions.begin(), lease.questions.end(), fault.question) !=
        lease.questions.end();
    const bool in_time = fault.max_attempt == 0 || lease.attempt <= fault.max_attempt;
    if (fault.benchmark == lease.benchmark && has_question && in_time) strike(fault);
  }
}

void Faults::strike(const Fault& fault) const {
  if (fault.kind == "kill") ::raise(SIGKILL);
  if (fault.kind == "segv") ::raise(SIGSEGV);
  if (fault.kind == "abort") std::abort();
  if (fault.kind == "stop") ::raise(SIGSTOP);
  if (fault.kind == "exit") std::_Exit(0);
  if (fault.kind == "fail") throw Error(ExitStatus::kInternal, "fault", "asked for");
  if (fault.kind == "refuse") bad_input("fault", "asked for");
  if (fault.kind == "hang") {
    while (true) std::this_thread::yield();
  }
  if (fault.kind == "garbage") {
    constexpr std::string_view kJunk = "\xff\xff\xff\xff no message begins like this";
    if (::write(channel_fd_, kJunk.data(), kJunk.size()) < 0) std::abort();
  }
}

}  // namespace prune_sweep
