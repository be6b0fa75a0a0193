#include "prune_sweep/sweep/mpi_link.hpp"

#include <mpi.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <thread>

#include "prune_sweep/core/check.hpp"
#include "sweep/watchdog.hpp"

namespace prune_sweep {

namespace {

constexpr int kTag = 1;
constexpr double kMaxFinalize_s = 10;
constexpr std::chrono::milliseconds kLastWords{300};

void mpi_check(int result, std::string_view call) {
  if (result == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(result, text.data(), &length);
  throw Error(
      ExitStatus::kInternal, call, std::string_view(text.data(), static_cast<size_t>(length)));
}

}  // namespace

struct MpiLink::PendingSend {
  std::string bytes;
  MPI_Request request = MPI_REQUEST_NULL;
};

MpiLink::MpiLink(int* argc, char*** argv) {
  int provided = MPI_THREAD_SINGLE;
  mpi_check(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  mpi_check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  mpi_check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
  mpi_check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
  MPI_Comm host = MPI_COMM_NULL;
  mpi_check(
      MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host),
      "MPI_Comm_split_type");
  mpi_check(MPI_Comm_size(host, &host_size_), "MPI_Comm_size");
  mpi_check(MPI_Comm_rank(host, &host_rank_), "MPI_Comm_rank");
  mpi_check(MPI_Comm_free(&host), "MPI_Comm_free");
}

MpiLink::~MpiLink() {
  if (!finalized_) finalize(static_cast<int>(ExitStatus::kInternal));
}

void MpiLink::finalize(int exit_status) {
  finalized_ = true;
  std::fflush(nullptr);
  const Watchdog watchdog(kMaxFinalize_s, exit_status);
  for (PendingSend& send : pending_) MPI_Wait(&send.request, MPI_STATUS_IGNORE);
  MPI_Finalize();
}

void MpiLink::leave_alone(int exit_status) {
  // What was said last is on its way only as long as somebody drives MPI.
  const auto end = std::chrono::steady_clock::now() + kLastWords;
  while (std::chrono::steady_clock::now() < end) {
    int arrived = 0;
    MPI_Iprobe(MPI_ANY_SOURCE, kTag, MPI_COMM_WORLD, &arrived, MPI_STATUS_IGNORE);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::fflush(nullptr);
  ::_exit(exit_status);
}

void MpiLink::send(int rank, const Message& message) {
  pending_.remove_if([](PendingSend& send) {
    int done = 0;
    mpi_check(MPI_Test(&send.request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    return done != 0;
  });
  PendingSend& send = pending_.emplace_back(PendingSend{encode(message)});
  mpi_check(
      MPI_Isend(
          send.bytes.data(),
          static_cast<int>(send.bytes.size()),
          MPI_BYTE,
          rank,
          kTag,
          MPI_COMM_WORLD,
          &send.request),
      "MPI_Isend");
}

std::optional<std::pair<int, Message>> MpiLink::poll() {
  int arrived = 0;
  MPI_Status status;
  mpi_check(MPI_Iprobe(MPI_ANY_SOURCE, kTag, MPI_COMM_WORLD, &arrived, &status), "MPI_Iprobe");
  if (arrived == 0) return std::nullopt;
  int count = 0;
  mpi_check(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
  std::string bytes(static_cast<size_t>(count), '\0');
  mpi_check(
      MPI_Recv(
          bytes.data(),
          count,
          MPI_BYTE,
          status.MPI_SOURCE,
          kTag,
          MPI_COMM_WORLD,
          MPI_STATUS_IGNORE),
      "MPI_Recv");
  return std::pair{status.MPI_SOURCE, decode_from_rank(bytes)};
}

}  // namespace prune_sweep
