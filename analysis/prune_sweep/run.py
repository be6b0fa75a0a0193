"""A run as a whole."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from prune_sweep.archive import Archive
from prune_sweep.benchmark import Benchmark
from prune_sweep.study import Study
from prune_sweep.variants import BASELINE, kinds_of


class Run:
    """What an archive holds. Made by :func:`prune_sweep.open`; to be closed, as by ``with``."""

    def __init__(self, archive: Archive) -> None:
        """Read the root attributes; everything else is read when it is asked for."""
        self._archive = archive
        self.attributes: dict[str, Any] = archive.attributes()

    @property
    def path(self) -> Path:
        """The archive's file."""
        return self._archive.path

    def close(self) -> None:
        """Close the archive. What was read stays."""
        self._archive.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = self.attributes["state"]
        return f"<Run {self.path}: {len(self.variants)} variants, {state}>"

    @functools.cached_property
    def variants(self) -> pd.DataFrame:
        """Variants by name: edits, num_parameters_removed, sparsity_blocks, sparsity_model."""
        columns = self._archive.variants()
        names = pd.Index(columns.pop("name"), name="variant")
        return pd.DataFrame(columns, index=names)

    @functools.cached_property
    def kinds(self) -> pd.DataFrame:
        """What each variant is: role, and the layer or the percent that goes with it."""
        return kinds_of(self.variants, self.num_layers)

    @functools.cached_property
    def benchmarks(self) -> Mapping[str, Benchmark]:
        """Benchmarks by name, in the order of the plan."""
        names = self._archive.benchmark_names()
        return {name: Benchmark(self._archive, name, self.variants.index) for name in names}

    @property
    def mmlu(self) -> Benchmark:
        """The benchmark ``mmlu``."""
        return self._benchmark("mmlu")

    @property
    def gsm8k(self) -> Benchmark:
        """The benchmark ``gsm8k``."""
        return self._benchmark("gsm8k")

    @property
    def is_complete(self) -> bool:
        """Whether no record is missing."""
        return bool(self.attributes["state"] == "complete")

    @functools.cached_property
    def missing(self) -> pd.DataFrame:
        """What a partial run lacks: num_missing and num_questions by benchmark and variant."""
        parts = []
        for benchmark in self.benchmarks.values():
            num_missing = benchmark.is_missing.sum(axis=1)
            keys = pd.MultiIndex.from_product(
                [[benchmark.name], self.variants.index], names=["benchmark", "variant"]
            )
            part = pd.DataFrame({"num_missing": num_missing}, index=keys)
            parts.append(part.assign(num_questions=benchmark.num_questions))
        if not parts:
            return pd.DataFrame(columns=["num_missing", "num_questions"])
        everything = pd.concat(parts)
        return everything[everything["num_missing"] > 0]

    @functools.cached_property
    def units(self) -> pd.DataFrame:
        """Attempts at units of work: unit, attempt, rank, host, started_s, elapsed_s, outcome."""
        return pd.DataFrame(self._archive.units()).rename_axis("event")

    @functools.cached_property
    def quarantined(self) -> pd.DataFrame:
        """Questions that are not asked any more: benchmark, subject, doc_id, variants, reason."""
        columns = self._archive.quarantined()
        return pd.DataFrame(columns, columns=list(columns) or None).rename_axis("entry")

    @property
    def num_layers(self) -> int:
        """Decoder layers of the unedited model."""
        return int(self.attributes["num_layers"])

    def study(self, benchmark: str, score: str | None = None, reference: str = BASELINE) -> Study:
        """All that can be tested about a score; by default the benchmark's headline."""
        found = self._benchmark(benchmark)
        return Study(found, self.variants, self.num_layers, score, reference)

    @functools.cached_property
    def studies(self) -> tuple[Study, ...]:
        """One for every score of every benchmark, against the baseline."""
        return tuple(
            self.study(name, score)
            for name, benchmark in self.benchmarks.items()
            for score in benchmark.scores
        )

    def compare(self, variant: str, reference: str = BASELINE) -> pd.DataFrame:
        """Compare two variants on every score; see :func:`prune_sweep.comparison.compare_scores`.

        One row for each score. A family is one pair, so nothing is adjusted for others.
        """
        parts = {}
        for name, benchmark in self.benchmarks.items():
            for score in benchmark.scores:
                study = self.study(name, score, reference)
                parts[study.label] = study.compare([variant]).reset_index(drop=True)
        return pd.concat(parts, names=["score"]).droplevel(1)

    def _benchmark(self, name: str) -> Benchmark:
        if name not in self.benchmarks:
            known = ", ".join(self.benchmarks) or "none"
            raise KeyError(f"{self.path} has no benchmark {name!r}; there are {known}")
        return self.benchmarks[name]


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open an archive.

    Raises ArchiveError for a file that is no archive, of a newer format, or damaged.
    """
    archive = Archive(path)
    try:
        return Run(archive)
    except BaseException:
        archive.close()
        raise
