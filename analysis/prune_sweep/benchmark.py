"""One benchmark of a run: its questions, its records, its scores."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd

from prune_sweep import statistics
from prune_sweep.archive import Archive, Array

#: The score that a benchmark of each kind is known by.
HEADLINES = {"multiple-choice": "correct", "generation": "strict_correct"}


class Benchmark:
    """One benchmark. Columns are read when they are first asked for."""

    def __init__(self, archive: Archive, name: str, variants: pd.Index[str]) -> None:
        """Only :class:`prune_sweep.Run` makes benchmarks."""
        self._archive = archive
        self._variants = variants
        self.name = name
        self.attributes: dict[str, Any] = archive.benchmark_attributes(name)
        self.num_questions = archive.num_questions(name)

    def __repr__(self) -> str:
        size = f"{len(self._variants)} variants, {self.num_questions} questions"
        return f"<Benchmark {self.name}: {size}>"

    @property
    def variants(self) -> pd.Index[str]:
        """Names of the variants, in the order of all rows."""
        return self._variants

    @property
    def kind(self) -> str:
        """Return ``multiple-choice`` or ``generation``."""
        return str(self.attributes["kind"])

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns that a record has."""
        columns = self._archive.number_columns(self.name) + self._archive.text_columns(self.name)
        return tuple(columns)

    @functools.cached_property
    def scores(self) -> tuple[str, ...]:
        """Names of the columns that say whether an answer is correct, the headline first."""
        numbers = self._archive.number_columns(self.name)
        scores = [name for name in numbers if self.labels(name).get(1) == "correct"]
        return tuple(sorted(scores, key=lambda name: (name != HEADLINES.get(self.kind), name)))

    @functools.cached_property
    def questions(self) -> pd.DataFrame:
        """Subject, doc_id, gold, prompt_sha256, prompt_tokens; one row for each question."""
        frame = pd.DataFrame(self._archive.questions(self.name))
        return frame.rename_axis("question")

    @functools.cached_property
    def loglik(self) -> Array:
        """Log-likelihoods of the choices, float32 [variant, question, choice]; NaN: missing."""
        return self.column("loglik")

    @functools.cached_property
    def correct(self) -> Array:
        """Headline score, 0 or 1 [variant, question], masked where missing."""
        return self.column(self.headline)

    @property
    def headline(self) -> str:
        """Name of the score that the benchmark is known by."""
        if not self.scores:
            raise KeyError(f"{self.name} has no score")
        return self.scores[0]

    @functools.cached_property
    def is_missing(self) -> Array:
        """Whether there is no record, bool [variant, question]."""
        if self.scores:
            return np.ma.getmaskarray(self.correct)
        values = self.column(self._archive.number_columns(self.name)[0])
        is_float = values.dtype.kind == "f"
        is_missing: Array = np.isnan(values) if is_float else np.ma.getmaskarray(values)
        return np.asarray(is_missing.reshape(*values.shape[:2], -1).all(axis=2))

    @property
    def answer_column(self) -> str:
        """Name of the text that the headline score judges; empty where there is none."""
        name = self.headline.removesuffix("correct") + "answer"
        return name if name in self._archive.text_columns(self.name) else ""

    @functools.cached_property
    def shares(self) -> pd.DataFrame:
        """Shares of odd answers by variant, as the archive has them; empty in older ones."""
        return pd.DataFrame(self._archive.shares(self.name), index=self._variants)

    def numbers_of(self, column: str, row: int) -> Array:
        """A column's numbers of one variant, [question, ...]."""
        return self._archive.numbers(self.name, column, row)

    def column(self, name: str) -> Array:
        """Any column of numbers, [variant, question, ...]: masked, or NaN, where missing."""
        self._require_column(name, self._archive.number_columns(self.name))
        return self._archive.numbers(self.name, name)

    def labels(self, column: str) -> dict[int, str]:
        """Return what the numbers of an enumeration mean; empty for other columns."""
        return self._archive.labels(self.name, column)

    def table(self, score: str | None = None) -> pd.DataFrame:
        """Accuracy by variant: num_correct, num_questions, accuracy, standard_error.

        Beside it the ends of Wilson's interval, ``low`` and ``high``, and, where there are
        subjects, the ``stratified_error`` (the subjects are these) and the ``clustered_error``
        (they are a sample of subjects). Questions that were not evaluated are not counted.
        ``score`` is one of ``scores``, by default the first.
        """
        values = self.score(score)
        num_correct = np.ma.filled(values == 1, False).sum(axis=1)
        num_questions = np.ma.count(values, axis=1)
        low, high = statistics.wilson_interval(num_correct, num_questions)
        table = pd.DataFrame(
            {
                "num_correct": num_correct,
                "num_questions": num_questions,
                "accuracy": statistics.accuracy(num_correct, num_questions),
                "standard_error": statistics.standard_error(num_correct, num_questions),
                "low": low,
                "high": high,
            },
            index=self._variants,
        )
        if self.subjects is not None:
            floats = np.ma.filled(values.astype(np.float64), np.nan)
            table["stratified_error"] = statistics.stratified_standard_error(floats, self.subjects)
            table["clustered_error"] = statistics.clustered_standard_error(floats, self.subjects)
        return table

    @functools.cached_property
    def subjects(self) -> Array | None:
        """The subject of every question; None where there are not at least two."""
        subjects = self.questions["subject"].to_numpy() if "subject" in self.questions else None
        return subjects if subjects is not None and len(set(subjects)) > 1 else None

    def score(self, name: str | None = None) -> Array:
        """A score, 0 or 1 [variant, question], masked where missing; by default the headline."""
        name = name or self.headline
        self._require_column(name, self.scores)
        return self.correct if name == self.headline else self.column(name)

    def texts(self, column: str, variant: str) -> pd.Series[str]:
        """Texts of one variant, by question; None where the question was not evaluated."""
        self._require_column(column, self._archive.text_columns(self.name))
        row = self.row(variant)
        texts = self._archive.texts(self.name, column, row)
        pairs = zip(texts, self.is_missing[row], strict=True)
        values = [None if is_missing else text for text, is_missing in pairs]
        return pd.Series(values, name=column, dtype=object).rename_axis("question")

    def responses(self, variant: str) -> pd.Series[str]:
        """Generated texts of one variant, by question; None where it was not evaluated."""
        return self.texts("response", variant)

    def records(self, variant: str) -> pd.DataFrame:
        """All about one variant's answers, one row for each question, beside the question.

        Enumerations are their labels, scores 0 or 1, a cell of loglik is a list; missing is None.
        """
        frame = self.questions.copy()
        for name in self._archive.number_columns(self.name):
            values = self._archive.numbers(self.name, name, self.row(variant))
            if values.ndim > 1:
                frame[name] = list(values)
                continue
            labels = {} if name in self.scores else self.labels(name)
            items = [labels.get(item, item) for item in values.tolist()]
            frame[name] = pd.Series(items, index=frame.index, dtype=object)
        for name in self._archive.text_columns(self.name):
            frame[name] = self.texts(name, variant)
        return frame

    def row(self, variant: str) -> int:
        """Row of a variant in all columns."""
        if variant not in self._variants:
            names = ", ".join(self._variants)
            raise KeyError(f"{variant!r} is not a variant; there are {names}")
        return int(self._variants.get_indexer_for(pd.Index([variant]))[0])

    def _require_column(self, name: str, known: list[str] | tuple[str, ...]) -> None:
        if name not in known:
            raise KeyError(f"{self.name} has no column {name!r}; there are {', '.join(known)}")
