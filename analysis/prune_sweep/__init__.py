"""Reads the archives of prune-sweep: ``prune_sweep.open("archive.h5")``."""

from prune_sweep import samples
from prune_sweep.archive import ArchiveError
from prune_sweep.benchmark import Benchmark
from prune_sweep.run import Run
from prune_sweep.run import open_run as open

__all__ = ["ArchiveError", "Benchmark", "Run", "open", "samples"]
