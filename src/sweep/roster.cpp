#include "prune_sweep/sweep/roster.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>
#include <vector>

#include "prune_sweep/core/check.hpp"

namespace prune_sweep {

namespace {

/// The ranks of one host.
struct Host {
  std::string name;
  std::vector<int32_t> ranks;
  const Hello* hello = nullptr;  ///< of the first of them
};

/// `0-3,8`
std::string ranks_text(const std::vector<int32_t>& ranks) {
  std::string text;
  for (size_t i = 0; i < ranks.size(); ++i) {
    size_t last = i;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(ranks[i]);
    if (last > i) text += "-" + std::to_string(ranks[last]);
    i = last;
  }
  return text;
}

/// `4 x NVIDIA A100-SXM4-80GB 80 GiB`; different ones one after the other.
std::string devices_text(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size();) {
    const auto end = static_cast<size_t>(
        std::find_if(
            names.begin() + static_cast<std::ptrdiff_t>(i),
            names.end(),
            [&](const std::string& name) { return name != names[i]; }) -
        names.begin());
    text += (text.empty() ? "" : ", ") + std::to_string(end - i) + " x " + names[i];
    i = end;
  }
  return text.empty() ? "no GPU" : text;
}

std::string memory_text(int64_t bytes) {
  if (bytes <= 0) return "-";
  std::array<char, 32> text{};
  std::snprintf(
      text.data(), text.size(), "%.1f GiB", static_cast<double>(bytes) / (int64_t{1} << 30));
  return text.data();
}

std::vector<Host> hosts_of(const std::map<int32_t, Hello>& hellos) {
  std::vector<Host> hosts;
  for (const auto& [rank, hello] : hellos) {
    auto host = std::find_if(
        hosts.begin(), hosts.end(), [&](const Host& each) { return each.name == hello.host; });
    if (host == hosts.end()) host = hosts.insert(hosts.end(), {hello.host, {}, &hello});
    host->ranks.push_back(rank);
  }
  return hosts;
}

std::string count_text(int64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace

Roster::Roster(Hello own, int32_t num_ranks, DeviceUse use) : num_ranks_(num_ranks), use_(use) {
  hellos_.emplace(0, std::move(own));
}

std::string Roster::host_of(int32_t rank) const {
  const auto hello = hellos_.find(rank);
  return hello == hellos_.end() ? "" : hello->second.host;
}

std::string Roster::add(int32_t rank, const Hello& hello) {
  const auto refuse = [&](const std::string& why, const std::string& suggestion) {
    return std::string(
        Error(
            ExitStatus::kBadInput,
            "rank " + std::to_string(rank) + " on " + printable(hello.host) + " is refused",
            why,
            suggestion)
            .what());
  };
  std::string refusal;
  const std::string& own_version = hellos_.at(0).program_version;
  if (hello.program_version != own_version) {
    refusal = refuse(
        "it is prune-sweep " + printable(hello.program_version) + ", rank 0 is " + own_version,
        "Use the same build on all hosts.");
  }
  for (const auto& [other, known] : hellos_) {
    const bool is_taken = use_ == DeviceUse::kOwn && !hello.device_uuid.empty() && other != rank &&
                          known.host == hello.host && known.device_uuid == hello.device_uuid;
    if (!is_taken || !refusal.empty()) continue;
    refusal = refuse(
        hello.device_uuid + " is rank " + std::to_string(other) + "'s",
        "Start as many ranks as there are GPUs, or say --allow-gpu-sharing.");
  }
  hellos_.insert_or_assign(rank, hello);
  // A rank that takes no part takes no device.
  if (!refusal.empty()) hellos_.at(rank).device_uuid.clear();
  return refusal;
}

std::string Roster::launch_line(const Launch& launch) const {
  const Hello& own = hellos_.at(0);
  return "launched " + std::string(launch.launcher == Launcher::kNone ? "" : "by ") +
         name(launch.launcher) + ": " + count_text(num_ranks_, "rank") + " on " +
         count_text(std::ssize(hosts_of(hellos_)), "host") + ", " +
         count_text(own.num_threads, "thread") + " of " + count_text(own.num_cores, "core") +
         " a rank; rank loss: " + rank_loss_text(launch);
}

std::string Roster::table() const {
  const std::vector<Host> hosts = hosts_of(hellos_);
  size_t name_width = 4;
  size_t ranks_width = 5;
  for (const Host& host : hosts) {
    name_width = std::max(name_width, host.name.size());
    ranks_width = std::max(ranks_width, ranks_text(host.ranks).size());
  }
  std::string text;
  const auto row = [&](const std::string& name,
                       const std::string& ranks,
                       const std::string& cores,
                       const std::string& memory,
                       const std::string& devices) {
    std::array<char, 512> line{};
    std::snprintf(
        line.data(),
        line.size(),
        "%-*s  %-*s  %5s  %10s  %s\n",
        static_cast<int>(name_width),
        printable(name).c_str(),
        static_cast<int>(ranks_width),
        ranks.c_str(),
        cores.c_str(),
        memory.c_str(),
        printable(devices, 200).c_str());
    text += line.data();
  };
  row("host", "ranks", "cores", "memory", "devices");
  for (const Host& host : hosts) {
    row(host.name,
        ranks_text(host.ranks),
        std::to_string(host.hello->num_cores),
        memory_text(host.hello->memory_bytes),
        devices_text(host.hello->device_names));
  }
  std::vector<int32_t> silent;
  for (int32_t rank = 0; rank < num_ranks_; ++rank) {
    if (hellos_.count(rank) == 0) silent.push_back(rank);
  }
  if (!silent.empty()) text += "nothing heard of ranks " + ranks_text(silent) + " so far\n";
  return text;
}

}  // namespace prune_sweep
