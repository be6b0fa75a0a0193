"""Everything that is tested about one score of a run, each thing computed when first asked for."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prune_sweep import comparison, statistics
from prune_sweep.benchmark import Benchmark
from prune_sweep.comparison import Detectable
from prune_sweep.statistics import Trend
from prune_sweep.statistics.proportion import Floats
from prune_sweep.variants import BASELINE, Role, kinds_of


@dataclass(frozen=True)
class SparsityTrend:
    """How a score moves over the levels of pruning, the baseline as level 0."""

    levels: pd.DataFrame  #: percent, accuracy, isotonic; by variant
    paired: Trend  #: per percent; the questions are the same at all levels
    independent: Trend  #: Cochran and Armitage's, which ignores that
    steps: pd.DataFrame  #: each level against the one before, a family of its own


class Study:
    """One score of one benchmark. ``reference`` is what variants are compared with."""

    def __init__(
        self,
        benchmark: Benchmark,
        variants: pd.DataFrame,
        num_layers: int,
        score: str | None = None,
        reference: str = BASELINE,
    ) -> None:
        """``variants`` is :attr:`prune_sweep.Run.variants`."""
        self.benchmark = benchmark
        self.score = score or benchmark.headline
        self.reference = reference
        self.kinds = kinds_of(variants, num_layers)
        self._reference_row = benchmark.row(reference)

    @property
    def label(self) -> str:
        """`MMLU`, `GSM8K strict`."""
        rule = self.score.removesuffix("correct").rstrip("_")
        return " ".join(filter(None, (self.benchmark.name.upper(), rule)))

    @property
    def key(self) -> str:
        """`mmlu`, `gsm8k_strict`: for names of columns and files."""
        return self.label.lower().replace(" ", "_")

    @functools.cached_property
    def accuracy(self) -> pd.DataFrame:
        """Accuracy with its errors and interval, by variant."""
        return self.benchmark.table(self.score)

    @functools.cached_property
    def scores(self) -> Floats:
        """[variant, question] scores, NaN where missing."""
        return comparison.as_floats(self.benchmark.score(self.score))

    @functools.cached_property
    def tested(self) -> pd.Index[str]:
        """The family: all variants but the reference, its copies and its other names."""
        is_test = ~self.kinds["role"].isin([Role.BASELINE, Role.REPEAT, Role.SAME])
        return self.kinds.index[is_test & (self.kinds.index != self.reference)]

    @functools.cached_property
    def comparisons(self) -> pd.DataFrame:
        """The family of all tested variants against the reference."""
        return self.compare(self.tested)

    def compare(self, names: Sequence[str] | pd.Index[str]) -> pd.DataFrame:
        """Some variants against the reference, as a family of their own."""
        rows = self._rows(names)
        base = self.scores[self._reference_row]
        return comparison.compare_scores(
            self.scores[rows], base, pd.Index(names, name="variant"), self.benchmark.subjects
        )

    @functools.cached_property
    def repeats(self) -> pd.DataFrame:
        """Copies of the baseline against it: what differs is noise."""
        return self.compare(self.with_role(Role.REPEAT))

    @functools.cached_property
    def detectable(self) -> Detectable:
        """What the family can see."""
        return comparison.detectable(self.comparisons)

    def with_role(self, role: Role) -> pd.Index[str]:
        """Names of the variants with a role, in the archive's order."""
        return self.kinds.index[self.kinds["role"] == role]

    def ranks(
        self, names: Sequence[str] | pd.Index[str], num_resamples: int = 2_000
    ) -> pd.DataFrame:
        """Rank (1 is the worst), its interval and the probability of being the worst.

        Of variants that have answers, on the questions that all of them have.
        """
        rows = self._rows(names)
        scores = self.scores[rows]
        has_answers = np.asarray(~np.isnan(scores).all(axis=1))
        index = pd.Index(names, name="variant")[has_answers]
        scores = scores[has_answers]
        scores = scores[:, ~np.isnan(scores).any(axis=0)]
        columns = ["num_questions", "accuracy", "rank", "low", "high", "worst"]
        if scores.size == 0:
            return pd.DataFrame(columns=columns, index=index[:0], dtype=float)
        found = statistics.bootstrap_ranks(scores, num_resamples)
        values = (
            scores.shape[1],
            scores.mean(axis=1),
            *(found.rank, found.low, found.high, found.worst),
        )
        return pd.DataFrame(dict(zip(columns, values, strict=True)), index=index)

    @functools.cached_property
    def layer_ranks(self) -> pd.DataFrame:
        """Ranks of the dropped layers; empty without any."""
        return self.ranks(self.with_role(Role.DROP))

    @functools.cached_property
    def trend(self) -> SparsityTrend | None:
        """The trend over the levels of pruning; None below two levels with answers."""
        levels = self.kinds[self.kinds["role"] == Role.LEVEL].sort_values("percent")
        names = [BASELINE, *(str(name) for name in levels.index)]
        percents = np.array([0.0, *(float(value) for value in levels["percent"])])
        if BASELINE not in self.kinds.index:
            names, percents = names[1:], percents[1:]
        scores = self.scores[self._rows(names)]
        has_answers = np.asarray(~np.isnan(scores).all(axis=1))
        names = [name for name, has in zip(names, has_answers, strict=True) if has]
        scores, percents = scores[has_answers], percents[has_answers]
        scores = scores[:, ~np.isnan(scores).any(axis=0)]
        if len(names) < 3 or scores.shape[1] == 0:
            return None
        accuracy = self.accuracy.loc[names]
        frame = pd.DataFrame(
            {
                "percent": percents,
                "accuracy": accuracy["accuracy"],
                "isotonic": statistics.isotonic_fit(
                    accuracy["accuracy"], accuracy["num_questions"].astype(float)
                ),
            },
            index=pd.Index(names, name="variant"),
        )
        return SparsityTrend(
            frame,
            statistics.paired_trend(scores, percents),
            statistics.cochran_armitage(
                accuracy["num_correct"], accuracy["num_questions"], percents
            ),
            self._steps(names),
        )

    def _steps(self, names: list[str]) -> pd.DataFrame:
        """Each of ``names`` against the one before it."""
        parts = []
        for before, after in itertools.pairwise(names):
            pair = self.scores[self._rows([before, after])]
            index = pd.Index([after], name="variant")
            part = comparison.compare_scores(pair[1:], pair[0], index)
            part.insert(0, "reference", before)
            parts.append(part)
        steps = pd.concat(parts)
        steps["p_holm"] = statistics.holm(steps["p_value"])
        steps["p_bh"] = statistics.benjamini_hochberg(steps["p_value"])
        return steps.drop(columns=["max_t", "p_max_t", "verdict"])

    def _rows(self, names: Sequence[str] | pd.Index[str]) -> list[int]:
        known = self.benchmark.variants
        rows = known.get_indexer_for(pd.Index(names))
        for name, row in zip(names, rows, strict=True):
            if row < 0:
                raise KeyError(f"{name!r} is not a variant; there are {', '.join(known)}")
        return [int(row) for row in rows]
