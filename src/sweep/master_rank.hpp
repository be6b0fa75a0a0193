/// \file
/// Rank 0: the master, its journal, its own worker, and what a person sees.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "prune_sweep/sweep/commit_queue.hpp"
#include "prune_sweep/sweep/history.hpp"
#include "prune_sweep/sweep/master.hpp"
#include "prune_sweep/sweep/reporter.hpp"
#include "prune_sweep/sweep/roster.hpp"
#include "prune_sweep/sweep/supervisor.hpp"
#include "sweep/worker.hpp"

namespace prune_sweep {

class MasterRank {
 public:
  /// Takes the run's lock and reads its journals. Throws Error (kBadInput, kDisk).
  MasterRank(
      MpiLink& link,
      StopSignals& signals,
      const Self& self,
      const RunRequest& request,
      EvaluatorProcess evaluator);

  RunEnd run(const Pack& pack);

 private:
  std::string new_run_id() const;
  MasterSettings master_settings() const;
  void write_start();

  void event_loop();
  bool goes_on();
  /// Reads what the evaluator and the other ranks have said; whether there was anything.
  bool listen();
  void on_message(int32_t rank, const Message& message);
  void on_hello(int32_t rank, const Hello& hello);
  /// The rank is there, but is not to be worked with.
  void refuse(int32_t rank, const std::string& why);
  Setup setup_for(int32_t rank) const;
  /// Who takes part, once all have said so, or have had the time to.
  void introduce_ranks();
  void carry_out(std::vector<Action> actions);
  void send(const Send& message);
  void flush();
  void take_signals();

  ExitStatus pack_archive(const Pack& pack);
  ExitStatus conclude(const Pack& pack);
  ExitStatus finish(ExitStatus exit_status, const std::string& state, const std::string& why);

  RunStatus status(const std::string& state) const;
  void write_status(const std::string& state);
  void write_done(ExitStatus exit_status);
  void report();
  void clear_line() const;

  MpiLink& link_;
  StopSignals& signals_;
  const Self& self_;
  const RunRequest& request_;
  Roster roster_;
  bool are_ranks_introduced_ = false;
  RunLock lock_;
  History history_;
  std::string run_id_;
  Journal journal_;
  Master master_;
  Worker worker_;
  CommitQueue queue_;
  int64_t num_records_at_start_;
  int64_t variant_tokens_at_start_;
  double flops_at_start_;
  bool terminal_;
  int32_t num_variants_reported_ = 0;
  double first_result_s_ = 0;
  double last_status_s_ = 0;
  double last_line_s_ = 0;
  double last_tick_s_ = 0;
  double last_flush_s_ = 0;
  double disk_refuses_since_s_ = 0;  // 0: it does not
  std::string disk_error_;
  bool is_concluding_ = false;
  std::string status_reason_;
  bool status_was_written_ = true;
  StopRequest stop_ = StopRequest::kNone;
  double leave_at_s_ = 0;  // when what is leased is no longer waited for; 0: no end in sight
};

}  // namespace prune_sweep
