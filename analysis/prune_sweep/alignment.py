"""Two runs, or a run and samples of lm-evaluation-harness, aligned by question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prune_sweep import comparison, statistics
from prune_sweep.run import Run
from prune_sweep.samples import SampleSet
from prune_sweep.statistics.proportion import Floats
from prune_sweep.table import Column, Show, Table
from prune_sweep.variants import BASELINE

_KEY = ["subject", "doc_id"]


@dataclass(frozen=True)
class Side:
    """One of the two: questions by benchmark, scores and log-likelihoods by variant."""

    label: str
    questions: Mapping[str, pd.DataFrame]
    variants: Mapping[str, int]  #: rows by name
    scores: Mapping[tuple[str, str], Floats]  #: (benchmark, score): [variant, question]
    loglik: Mapping[str, Floats]  #: [variant, question, choice]

    @staticmethod
    def of_run(run: Run) -> Side:
        """All variants of an archive."""
        return Side(
            str(run.path),
            {name: benchmark.questions for name, benchmark in run.benchmarks.items()},
            {str(name): row for row, name in enumerate(run.variants.index)},
            {
                (name, score): comparison.as_floats(benchmark.score(score))
                for name, benchmark in run.benchmarks.items()
                for score in benchmark.scores
            },
            {
                name: benchmark.loglik
                for name, benchmark in run.benchmarks.items()
                if "loglik" in benchmark.columns
            },
        )

    @staticmethod
    def of_samples(samples: SampleSet, variant: str = BASELINE) -> Side:
        """Samples files as one variant."""
        return Side(
            samples.label,
            samples.questions,
            {variant: 0},
            {key: values[None] for key, values in samples.scores.items()},
            {name: values[None] for name, values in samples.loglik.items()},
        )


@dataclass(frozen=True)
class Alignment:
    """What two sides have in common, and how they differ there."""

    table: pd.DataFrame  #: one row for each benchmark, score and variant
    questions: pd.DataFrame  #: the answers that are right on one side only
    notes: tuple[str, ...]

    def as_tables(self, ours: str, theirs: str) -> list[Table]:
        """Both, to be printed; the list of questions only where there are any."""
        columns = (
            Column("score", ("score",), Show.TEXT),
            Column("variant", ("variant",), Show.TEXT),
            Column("n", ("num_questions",), Show.COUNT),
            Column("second", ("reference_accuracy",), Show.SHARE, theirs),
            Column("first", ("accuracy",), Show.SHARE, ours),
            Column("first - second, points [95 %]", ("difference", "low", "high"), Show.DIFFERENCE),
            Column("losses", ("losses",), Show.COUNT),
            Column("gains", ("gains",), Show.COUNT),
            Column("p", ("p_value",), Show.P),
            Column("p Holm", ("p_holm",), Show.P),
            Column("same prompts", ("same_prompts",), Show.SHARE),
            Column("largest |loglik difference|, nat", ("max_loglik_difference",), Show.NUMBER),
            Column("KL, nat", ("kl",), Show.NUMBER),
        )
        tops = [
            f"{score}. {comparison.detectable(part).sentence()}"
            for score, part in self.table.groupby("score", sort=False)
        ]
        title = f"{ours} (first) against {theirs} (second)"
        found = [Table("runs", title, columns, self.table, tuple(tops), self.notes)]
        if len(self.questions):
            listed = ("score", "variant", "subject", "doc_id", "first", "second")
            shows = (Show.TEXT, Show.TEXT, Show.TEXT, Show.COUNT, Show.COUNT, Show.COUNT)
            shown = tuple(Column(k, (k,), show) for k, show in zip(listed, shows, strict=True))
            title = "Questions that one of the two has right"
            found.append(Table("runs-questions", title, shown, self.questions))
        return found


def align(ours: Side, theirs: Side) -> Alignment:
    """Compare the variants that both have, on the questions that both have.

    Questions are the same if subject and doc_id are. The second side is the reference. All
    variants of a score are a family.
    """
    names = [name for name in ours.variants if name in theirs.variants]
    if not names:
        known = f"{', '.join(ours.variants)}; there: {', '.join(theirs.variants)}"
        raise KeyError(f"no variant has the same name in both; here: {known}")
    tables, questions, notes = [], [], []
    for (benchmark, score), values in ours.scores.items():
        if (benchmark, score) not in theirs.scores:
            notes.append(f"{benchmark} {score}: only in {ours.label}.")
            continue
        pairs = _pairs(ours.questions[benchmark], theirs.questions[benchmark])
        label = f"{benchmark} {score}"
        notes.append(_note(label, pairs, ours.questions[benchmark], theirs.questions[benchmark]))
        if pairs.empty:
            continue
        first = values[[ours.variants[n] for n in names]][:, pairs["ours"]]
        other = theirs.scores[benchmark, score]
        second = other[[theirs.variants[n] for n in names]][:, pairs["theirs"]]
        rows = [
            comparison.compare_scores(first[i : i + 1], second[i], pd.Index([name], name="variant"))
            for i, name in enumerate(names)
        ]
        table = pd.concat(rows).reset_index()
        table.insert(0, "score", label)
        table["p_holm"] = statistics.holm(table["p_value"])
        table["p_bh"] = statistics.benjamini_hochberg(table["p_value"])
        table["same_prompts"] = float(pairs["same_prompt"].mean())
        table = table.drop(columns=["max_t", "p_max_t", "verdict"])
        if benchmark in ours.loglik and benchmark in theirs.loglik:
            _add_loglik(table, ours, theirs, benchmark, names, pairs)
        tables.append(table)
        questions.append(_differing(label, names, pairs, first, second))
    if not tables:
        raise KeyError("the two have no question in common")
    return Alignment(pd.concat(tables, ignore_index=True), pd.concat(questions), tuple(notes))


def _pairs(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Positions of the questions that both have, and whether their prompts are the same."""
    columns = [*_KEY, "prompt_sha256"]
    left = ours[columns].assign(ours=np.arange(len(ours)))
    right = theirs[columns].assign(theirs=np.arange(len(theirs)))
    pairs = left.merge(right, on=_KEY, suffixes=("", "_theirs"))
    return pairs.assign(same_prompt=pairs["prompt_sha256"] == pairs["prompt_sha256_theirs"])


def _note(label: str, pairs: pd.DataFrame, ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    text = f"{label}: {len(pairs)} questions in common, of {len(ours)} and {len(theirs)}."
    num_other = int((~pairs["same_prompt"]).sum())
    if num_other:
        text += f" {num_other} of them have another prompt: their answers may differ by that alone."
    return text


def _add_loglik(
    table: pd.DataFrame,
    ours: Side,
    theirs: Side,
    benchmark: str,
    names: list[str],
    pairs: pd.DataFrame,
) -> None:
    largest, mean = [], []
    for name in names:
        first = ours.loglik[benchmark][ours.variants[name]][pairs["ours"]].astype(float)
        second = theirs.loglik[benchmark][theirs.variants[name]][pairs["theirs"]].astype(float)
        with np.errstate(invalid="ignore"):
            distance = np.abs(first - second)
        is_there = np.isfinite(distance)
        largest.append(distance[is_there].max() if is_there.any() else np.nan)
        divergence = statistics.kl_divergence(second, first)
        mean.append(np.nanmean(divergence) if np.isfinite(divergence).any() else np.nan)
    table["max_loglik_difference"], table["kl"] = largest, mean


def _differing(
    label: str, names: list[str], pairs: pd.DataFrame, first: Floats, second: Floats
) -> pd.DataFrame:
    rows, columns = np.nonzero(np.abs(first - second) == 1)
    found = pairs[_KEY].iloc[columns].reset_index(drop=True)
    found.insert(0, "variant", [names[row] for row in rows])
    found.insert(0, "score", label)
    found["first"], found["second"] = first[rows, columns], second[rows, columns]
    return found
