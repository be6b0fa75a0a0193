#include "prune_sweep/sweep/supervisor.hpp"

#include <spdlog/spdlog.h>

#include <utility>

#include "sweep/master_rank.hpp"
#include "sweep/naps.hpp"
#include "sweep/worker.hpp"

namespace prune_sweep {

RunEnd run_master_rank(
    MpiLink& link,
    StopSignals& signals,
    const Self& self,
    const std::function<RunRequest()>& read_request,
    const Pack& pack) {
  EvaluatorProcess evaluator = start_evaluator(self.place);
  const RunRequest request = read_request();
  return MasterRank(link, signals, self, request, std::move(evaluator)).run(pack);
}

Leave run_worker_rank(MpiLink& link, StopSignals& signals, const Self& self) {
  link.send(0, hello_of(self.place, self.build));
  Worker worker(self.place, start_evaluator(self.place), [&link](const Message& message) {
    link.send(0, message);
  });
  Naps naps;
  bool busy = true;
  // A first signal is the master's affair: it was sent one too, and says when to stop.
  while (!worker.is_stopped() && signals.take() != StopRequest::kLeave) {
    if (worker.is_abandoned()) {
      spdlog::error("rank 0 says nothing any more: leaving; the run can be resumed");
      return Leave::kAlone;
    }
    naps.nap(worker.fd(), signals.fd(), busy);
    busy = worker.poll();
    while (auto received = link.poll()) {
      busy = true;
      worker.on_message(received->second);
    }
  }
  return worker.leave();
}

void dismiss_workers(MpiLink& link, Leave leave) {
  for (int rank = 1; rank < link.size(); ++rank) link.send(rank, Stop{leave});
}

}  // namespace prune_sweep
