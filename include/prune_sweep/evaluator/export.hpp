/// \file
/// The `export` command: a variant of a job as a model directory.
#pragma once

namespace prune_sweep {

/// Runs `export JOB.ini VARIANT DIR [--section.key=value ...]`: argv[0] is "export". Returns the
/// exit status; throws Error.
int run_export(int argc, char** argv);

}  // namespace prune_sweep
