/// \file
/// Everything that master, supervisors and evaluators say to each other. The same messages travel
/// over MPI (master <-> supervisor of a rank) and over a socket pair (supervisor <-> its
/// evaluator); a supervisor passes most of them on unread.
///
///     master                 supervisor                evaluator
///       | <------ Hello ---------- |                        |   once per rank
///       | ------- Setup ---------> | ------- Setup -------> |   or Refuse; reads model and data
///       | <------ Ready ---------- | <------ Ready -------- |   once per evaluator process
///       | ------- Lease ---------> | ------- Lease -------> |   a unit, with an attempt number
///       | <------ Progress ------- | <------ Progress ----- |   at least every few seconds
///       | ------- Revoke --------> | ------- Revoke ------> |   others were faster; or the end
///       | <------ Result --------- | <------ Result ------- |   or Failure, by either of the two
///       | ------- Committed -----> |                        |   the records are on disk
///       | <-- Heartbeat, echoed -> |                        |   every two seconds
///       | ------- Stop ----------> | (closes the socket)    |
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "prune_sweep/core/phases.hpp"
#include "prune_sweep/core/record.hpp"
#include "prune_sweep/core/savings.hpp"

namespace prune_sweep {

/// How long a rank waits for others before it takes them for dead or hanging, seconds.
struct Patience {
  double evaluator_s = 600;  ///< an evaluator at work, or loading, that says nothing
  double rank_s = 30;        ///< another rank that says nothing
};

/// What a worker and its evaluator need before the first lease. The digests are of rank 0's files:
/// those of the worker's host may lie elsewhere (see on_this_host()), but must give the same.
struct Setup {
  std::string job_text;          ///< the resolved job
  std::string questions_sha256;  ///< see questions_digest()
  std::string tokenizer_sha256;
  std::string end_ids;       ///< see end_ids_text()
  std::string device;        ///< "cpu" or "cuda": what the plan's records are keyed with
  std::string model_sha256;  ///< empty: these are the very files that rank 0 has digested
  int32_t num_threads = 1;   ///< the worker's affair: the master does not know its host
  Patience patience;
  Savings savings;
};

/// An evaluator has loaded model and data.
struct Ready {
  std::string host;
  std::string device;
  std::string torch_version;
  double load_s = 0;
};

/// A unit, or what is missing of it, given to a worker.
struct Lease {
  int32_t unit = 0;
  int32_t attempt = 0;  ///< fences results of earlier attempts
  std::string benchmark;
  std::vector<std::string> variant_names;
  std::vector<std::string> variant_edits;  ///< canonical texts
  std::vector<int32_t> questions;          ///< indices in the benchmark's selected questions
};

/// Work goes on.
struct Progress {
  int32_t unit = 0;
  int32_t attempt = 0;
};

/// The records of a lease, variant by variant: of all its questions, or, when it was revoked with
/// Finished::kKeep, of the first of them.
struct Result {
  int32_t unit = 0;
  int32_t attempt = 0;
  double elapsed_s = 0;
  BenchmarkKind kind = BenchmarkKind::kMultipleChoice;
  std::vector<Record> records;  // [variants * questions]
  PhaseSeconds phases_s{};      ///< of elapsed_s
};

/// Whose fault a failure is: only infrastructure is worth another try. A revoked lease is nobody's.
enum class FailureClass : uint8_t { kInfrastructure = 0, kTask = 1, kInput = 2, kRevoked = 3 };

struct Failure {
  int32_t unit = -1;  ///< -1: before any lease
  int32_t attempt = 0;
  FailureClass failure = FailureClass::kInfrastructure;
  std::string text;
};

struct Committed {
  int32_t unit = 0;
};

/// How a rank ends: with the others in MPI_Finalize, or, where one of them is lost and would be
/// waited for, by itself.
enum class Leave : uint8_t { kTogether = 0, kAlone = 1 };

/// Nothing more to do: leave.
struct Stop {
  Leave leave = Leave::kTogether;
};

/// What a worker is at when it has nothing else to say.
enum class WorkerState : uint8_t { kStarting = 0, kIdle = 1, kAtWork = 2 };

/// The sender lives. The master's answer to a worker's is the same message.
struct Heartbeat {
  WorkerState state = WorkerState::kStarting;
};

/// What becomes of a revoked lease's finished questions.
enum class Finished : uint8_t { kDiscard = 0, kKeep = 1 };

/// Give the lease up at the next batch: answer with a Result, when it is finished by then or some
/// of its questions are and are to be kept, else with a Failure (kRevoked).
struct Revoke {
  int32_t unit = 0;
  int32_t attempt = 0;
  Finished finished = Finished::kDiscard;
};

/// A rank is there; the master answers with Setup or Refuse.
struct Hello {
  std::string program_version;  ///< of the build: all ranks must have the same
  std::string host;
  int32_t num_cores = 1;    ///< of the host, for all its ranks together
  int32_t num_threads = 1;  ///< of this rank's evaluator
  int64_t memory_bytes = 0;
  std::vector<std::string> device_uuids;  ///< of the host, as far as its ranks may use them
  std::vector<std::string> device_names;
  std::string device_uuid;  ///< this rank's; empty without one
};

/// The receiver may not take part, or the sender is of another version: nothing but Stop is to be
/// said any more.
struct Refuse {
  std::string why;
};

/// The order is the type's number on the wire: append only.
using Message = std::variant<
    Setup,
    Ready,
    Lease,
    Progress,
    Result,
    Failure,
    Committed,
    Stop,
    Heartbeat,
    Revoke,
    Hello,
    Refuse>;

/// Message to bytes and back, with a version and a CRC-32C. decode() throws Error (kInternal) for
/// bytes that are damaged or of another version.
std::string encode(const Message& message);
Message decode(std::string_view bytes);

/// As decode(), for what another rank says, which may be of another build: a message of another
/// protocol version comes back as the Refuse that it deserves, or as Stop if that is what it is.
/// Versions and type numbers stand where they are, and Stop stays as it is, in all versions from 3
/// on.
Message decode_from_rank(std::string_view bytes);

/// Name of the message's type, for logs.
std::string_view message_name(const Message& message);

}  // namespace prune_sweep
