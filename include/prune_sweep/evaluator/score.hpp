/// \file
/// The `score` command: JSON Lines in, log-probabilities and texts out.
#pragma once

namespace prune_sweep {

/// Runs `score MODEL_DIR [options]`: argv[0] is "score". Reads requests from standard input and
/// answers each with one line; a request that cannot be used is answered with {"error": ...}.
/// Returns the exit status.
int run_score(int argc, char** argv);

}  // namespace prune_sweep
