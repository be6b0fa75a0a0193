"""The two tables of the report, beside its numbers, and what can be compared and what cannot."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import pandas as pd

from prune_sweep import published
from prune_sweep.run import Run


@dataclass(frozen=True)
class Score:
    """A column group of the tables: one score of one benchmark."""

    benchmark: str
    column: str  #: the score's name in the archive
    key: str  #: what its columns begin with: "gsm8k_strict"
    label: str  #: "GSM8K strict"


@dataclass(frozen=True)
class ReportTable:
    """One table. Numbers are in ``rows``; how they are shown is up to the reader's format."""

    title: str
    key: str  #: first column of rows: "layer" or "percent"
    scores: tuple[Score, ...]
    rows: pd.DataFrame
    report_label: str  #: what the published columns are headed with


def report_tables(run: Run) -> tuple[ReportTable, ReportTable]:
    """Table 1, accuracy by dropped layer, and Table 2, accuracy by percent pruned."""
    last = int(run.attributes["num_layers"]) - 1
    all_layers = f"0-{last}" if last > 0 else "0"
    by_layer = _table(
        run,
        "Table 1: accuracy by dropped layer",
        "layer",
        r"(\d+) drop",
        lambda layer: published.gsm8k_of_layer(int(layer)),
    )
    by_percent = _table(
        run,
        "Table 2: accuracy by percent of the weights pruned by magnitude",
        "percent",
        rf"{all_layers} magnitude (\d+(?:\.\d+)?)(?: \w+)?",
        lambda percent: published.gsm8k_of_percent(Decimal(percent)),
    )
    return by_layer, by_percent


def report_notes(run: Run) -> list[str]:
    """Plain sentences on what the tables can and cannot tell."""
    return [note for note in (_state(run), _model(run), _mmlu(run), _gsm8k(run)) if note]


def _scores(run: Run) -> tuple[Score, ...]:
    found = []
    for name, benchmark in run.benchmarks.items():
        for column in benchmark.scores:
            rule = column.removesuffix("correct").rstrip("_")
            words = [name.upper(), rule] if rule else [name.upper()]
            found.append(Score(name, column, "_".join(words).lower(), " ".join(words)))
    return tuple(found)


def _table(
    run: Run,
    title: str,
    key: str,
    pattern: str,
    published_gsm8k: Callable[[str], float | None],
) -> ReportTable:
    """Rows of the baseline and of variants whose edits match ``pattern``, which finds the key."""
    keys = {name: _key(str(edits), pattern) for name, edits in run.variants["edits"].items()}
    names = [str(name) for name, found in keys.items() if found is not None]
    rows = pd.DataFrame({key: [keys[name] for name in names], "variant": names})
    scores = _scores(run)
    for score in scores:
        table = run.benchmarks[score.benchmark].table(score.column).loc[names]
        for column in ("accuracy", "standard_error", "num_questions"):
            rows[f"{score.key}_{column}"] = table[column].to_numpy()
    if "gsm8k" in run.benchmarks:
        numbers = [published_gsm8k(found) if found else None for found in rows[key]]
        rows["report_gsm8k"] = pd.Series(numbers, dtype=float)
    if "mmlu" in run.benchmarks:
        numbers = [published.MMLU if found else None for found in rows[key]]
        rows["report_mmlu"] = pd.Series(numbers, dtype=float)
    label = "report" if published.is_same_model(run.attributes) else "report (another model)"
    return ReportTable(title, key, scores, rows, label)


def _key(edits: str, pattern: str) -> str | None:
    """First column of a row: empty for the baseline; None for a variant of another table."""
    match = re.fullmatch(pattern, edits)
    return match[1] if match else (None if edits else "")


def _state(run: Run) -> str:
    if run.is_complete:
        return ""
    missing = run.missing
    total = sum(b.num_questions for b in run.benchmarks.values()) * len(run.variants)
    return (
        f"The run is partial: {int(missing['num_missing'].sum())} of {total} records are missing, "
        f"in {missing.index.get_level_values('variant').nunique()} variants. "
        "An accuracy is of the questions that were evaluated."
    )


def _model(run: Run) -> str:
    layers, parameters = run.attributes["num_layers"], run.attributes["num_parameters"]
    if published.is_same_model(run.attributes):
        return ""
    return (
        f"The model of this archive has {layers} layers and {parameters:,} parameters; "
        f"that of the report, {published.MODEL}, has {published.NUM_LAYERS} and "
        f"{published.NUM_PARAMETERS:,}. The report's columns are shown as its numbers only: "
        "two models cannot be compared layer by layer."
    )


def _mmlu(run: Run) -> str:
    if "mmlu" not in run.benchmarks:
        return ""
    return (
        "MMLU cannot be compared: the report has 0 for every variant, which is impossible for a "
        "choice of four, where guessing alone scores about 0.25. "
        "A 0 comes from a harness that never recognised an answer, not from the model."
    )


def _gsm8k(run: Run) -> str:
    if "gsm8k" not in run.benchmarks:
        return ""
    questions = published.GSM8K_QUESTIONS
    note = (
        f"GSM8K: 0.08 of the report's {questions} questions is 11 right answers (10 are rounded "
        "to 0.08 as well), with a standard error of 0.024; one answer more or less is 0.008. "
        "The report has one number per variant; both rules of scoring are shown beside it."
    )
    found = run.gsm8k.num_questions
    if found != questions:
        note += f" This archive has {found} questions: its accuracies differ by that alone."
    return note
