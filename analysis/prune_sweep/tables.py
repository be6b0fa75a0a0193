"""The tables of a run: the report's two, comparisons, ranks, trends, measures beside accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import pandas as pd

from prune_sweep import measures, published, statistics
from prune_sweep.comparison import ALPHA, detectable, percent, points
from prune_sweep.run import Run
from prune_sweep.study import Study
from prune_sweep.table import Column, Show, Table
from prune_sweep.variants import Role

_STAR = "* differs from the baseline: p <= 0.05 by Holm over all variants of the score."


def report_tables(run: Run) -> tuple[Table, Table]:
    """Table 1, accuracy by dropped layer, and Table 2, accuracy by percent pruned."""
    by_layer = _report_table(
        run,
        "table-1",
        "Table 1: accuracy by dropped layer",
        "layer",
        lambda layer: published.gsm8k_of_layer(int(layer)),
    )
    by_percent = _report_table(
        run,
        "table-2",
        "Table 2: accuracy by percent of the weights pruned by magnitude",
        "percent",
        lambda value: published.gsm8k_of_percent(Decimal(value)),
    )
    return by_layer, by_percent


def comparison_table(
    study: Study, names: Sequence[str] | None = None, title: str | None = None
) -> Table:
    """Each variant against the reference, the largest losses first."""
    frame = study.comparisons if names is None else study.compare(names)
    rows = frame.sort_values("difference", kind="stable").reset_index()
    top = (detectable(frame).sentence(),)
    columns = (
        Column("variant", ("variant",), Show.TEXT),
        Column("n", ("num_questions",), Show.COUNT, "questions that both have answered"),
        Column("accuracy", ("accuracy",), Show.SHARE),
        Column(
            "difference, points [95 %]",
            ("difference", "low", "high"),
            Show.DIFFERENCE,
            "paired bootstrap; Tango's score interval below 25 discordant questions",
        ),
        Column("losses", ("losses",), Show.COUNT, f"right in {study.reference}, wrong here"),
        Column("gains", ("gains",), Show.COUNT, f"wrong in {study.reference}, right here"),
        Column("p", ("p_value",), Show.P, "McNemar, mid-p; exact below 25 discordant questions"),
        Column("p Holm", ("p_holm",), Show.P, "for which variants differ"),
        Column("p max-T", ("p_max_t",), Show.P, "the same, by flipping signs of questions"),
        Column("p BH", ("p_bh",), Show.P, "for maps: share of false finds"),
        Column("verdict", ("verdict",), Show.TEXT, "by Holm at 0.05"),
    )
    title = title or f"{study.label}: variants against {study.reference}"
    return Table(f"compare-{_slug(study)}", title, columns, rows, top)


def errors_table(study: Study) -> Table | None:
    """Accuracy with the errors that know of subjects; None where there are no subjects."""
    if study.benchmark.subjects is None:
        return None
    rows = study.accuracy.reset_index()
    columns = (
        Column("variant", ("variant",), Show.TEXT),
        Column("n", ("num_questions",), Show.COUNT),
        Column("accuracy [95 %]", ("accuracy", "low", "high"), Show.INTERVAL, "Wilson"),
        Column("simple SE", ("standard_error",), Show.NUMBER, "questions are independent"),
        Column("stratified SE", ("stratified_error",), Show.NUMBER, "these subjects are meant"),
        Column("clustered SE", ("clustered_error",), Show.NUMBER, "subjects are a sample"),
    )
    title = f"{study.label}: standard errors by subject"
    top = (study.detectable.sentence(),)
    return Table(f"errors-{_slug(study)}", title, columns, rows, top)


def rank_table(study: Study, frame: pd.DataFrame | None = None, noun: str = "layer") -> Table:
    """Variants from the worst on; by default the dropped layers."""
    ranks = study.layer_ranks if frame is None else frame
    rows = ranks.sort_values(["rank", "worst"], ascending=[True, False], kind="stable")
    columns = (
        Column("variant", ("variant",), Show.TEXT),
        Column("accuracy", ("accuracy",), Show.SHARE),
        Column("rank", ("rank",), Show.NUMBER, "1 is the worst; ties share their mean"),
        Column("from", ("low",), Show.NUMBER, "2.5 % of the resamples"),
        Column("to", ("high",), Show.NUMBER, "97.5 % of the resamples"),
        Column("P(worst)", ("worst",), Show.SHARE, f"probability of being the worst {noun}"),
    )
    notes = (
        "Ranks of 2,000 bootstrap resamples of the questions, the same for all variants. An "
        "interval is that of one variant by itself, not of all at once.",
    )
    size = int(ranks["num_questions"].iloc[0]) if len(ranks) else 0
    title = f"{study.label}: ranks, worst first (n = {size})"
    top = (study.detectable.sentence(),)
    return Table(f"rank-{_slug(study)}", title, columns, rows.reset_index(), top, notes)


def trend_table(study: Study) -> Table | None:
    """Levels of pruning, each against the one before; None below two levels."""
    trend = study.trend
    if trend is None:
        return None
    keys = ["reference", "difference", "low", "high", "losses", "gains", "p_value", "p_holm"]
    rows = trend.levels.join(trend.steps[keys]).reset_index()
    columns = (
        Column("percent", ("percent",), Show.NUMBER),
        Column("variant", ("variant",), Show.TEXT),
        Column("accuracy", ("accuracy",), Show.SHARE),
        Column("isotonic", ("isotonic",), Show.SHARE, "closest curve that never rises"),
        Column("step, points [95 %]", ("difference", "low", "high"), Show.DIFFERENCE),
        Column("p", ("p_value",), Show.P, "against the level before"),
        Column("p Holm", ("p_holm",), Show.P, "over the steps"),
    )
    paired, classic = trend.paired, trend.independent
    notes = (
        f"Trend: {points(10 * paired.slope, signed=True)} for each 10 % pruned, "
        f"t = {paired.statistic:.1f}, p = {paired.p_value:.1g} (slopes of the questions, which "
        f"are the same at all levels). Cochran and Armitage, who take them as different: "
        f"z = {classic.statistic:.1f}, p = {classic.p_value:.1g}.",
    )
    title = f"{study.label}: from one level of pruning to the next"
    top = (detectable(trend.steps).sentence(),)
    return Table(f"trend-{_slug(study)}", title, columns, rows, top, notes)


def measures_table(study: Study) -> Table:
    """Flips, changed answers, KL and the measures beside accuracy; of a benchmark."""
    benchmark = study.benchmark
    rows = measures.distances(benchmark, study.reference).reset_index()
    columns = [
        Column("variant", ("variant",), Show.TEXT),
        Column("flips", ("flips",), Show.SHARE, "share of questions right in one of the two"),
        Column("answers changed", ("answers_changed",), Show.SHARE),
        Column("KL, nat", ("kl",), Show.NUMBER, "baseline || variant over the choices"),
        Column("± SE", ("kl_standard_error",), Show.NUMBER),
    ]
    for name, label in (
        ("gold_probability", "gold probability"),
        ("gold_loglik", "gold solution, nat"),
    ):
        keys = tuple(f"{name}_{key}" for key in ("difference", "low", "high"))
        columns += [
            Column(label, (f"{name}_mean",), Show.NUMBER, "mean"),
            Column("difference [95 %]", keys, Show.SIGNED, "to the baseline, paired t"),
            Column("p", (f"{name}_p_value",), Show.P, "paired t test, by itself"),
        ]
    shown = tuple(column for column in columns if column.keys[0] in rows)
    title = f"{benchmark.name.upper()}: what accuracy does not show"
    top = (study.detectable.sentence(),)
    return Table(f"measures-{benchmark.name}", title, shown, rows, top)


def odd_answers_table(study: Study) -> Table:
    """Shares of odd answers, with the flags of the gates; of a benchmark."""
    benchmark = study.benchmark
    rows = measures.odd_answers(benchmark).reset_index()
    labels = {
        "invalid": "no answer found",
        "truncated": "cut at the limit",
        "repeats": "ends in a loop",
        "one_choice": "most picked choice",
        "not_finite": "not finite",
    }
    shares = [Column(labels[k], (k,), Show.SHARE) for k in labels if k in rows]
    columns = (
        Column("variant", ("variant",), Show.TEXT),
        *shares,
        Column("flags", ("signs",), Show.TEXT, "what the job's gates object to"),
    )
    title = f"{benchmark.name.upper()}: odd answers"
    top = (study.detectable.sentence(),)
    return Table(f"odd-{benchmark.name}", title, columns, rows, top)


def noise_table(study: Study) -> Table | None:
    """Copies of the baseline against it; None without any."""
    if study.repeats.empty:
        return None
    title = f"{study.label}: the baseline against itself"
    return comparison_table(study, list(study.repeats.index), title)


def all_tables(run: Run) -> list[Table]:
    """Every table of a run that has something in it."""
    found: list[Table | None] = list(report_tables(run))
    for study in run.studies:
        has_tests = len(study.tested) > 0
        found.append(comparison_table(study) if has_tests else None)
        found.append(rank_table(study) if len(study.layer_ranks) else None)
        found.append(trend_table(study))
        found.append(noise_table(study))
        if study.score == study.benchmark.headline:
            found += [measures_table(study), odd_answers_table(study), errors_table(study)]
    return [table for table in found if table is not None]


def report_notes(run: Run) -> list[str]:
    """Plain sentences on what the tables can and cannot tell."""
    return [note for note in (_state(run), _model(run), _mmlu(run), _gsm8k(run)) if note]


def _report_table(
    run: Run, name: str, title: str, key: str, published_gsm8k: Callable[[str], float | None]
) -> Table:
    """Rows of the baseline and of the variants with a layer, or a percentage."""
    rows = _rows_with(run, key)
    names = rows["variant"].tolist()
    columns = [Column(key, (key,), Show.TEXT), Column("variant", ("variant",), Show.TEXT)]
    top = []
    for study in run.studies:
        _add_score(rows, study, names)
        columns += _score_columns(study.key, study.label, rows)
        if len(study.tested):
            top.append(f"{study.label}. {study.detectable.sentence()}")
    label = "report" if published.is_same_model(run.attributes) else "report (another model)"
    if "mmlu" in run.benchmarks:
        numbers = [published.MMLU if found else None for found in rows[key]]
        rows["report_mmlu"] = pd.Series(numbers, dtype=float)
        columns.append(Column(f"{label} MMLU", ("report_mmlu",), Show.SHARE))
    if "gsm8k" in run.benchmarks:
        numbers = [published_gsm8k(found) if found else None for found in rows[key]]
        _add_published(rows, pd.Series(numbers, dtype=float))
        keys = ("report_gsm8k", "report_gsm8k_low", "report_gsm8k_high")
        columns.append(Column(f"{label} GSM8K", keys, Show.INTERVAL, "Wilson, n = 132"))
    return Table(name, title, tuple(columns), rows, tuple(top), (_STAR,))


def _rows_with(run: Run, key: str) -> pd.DataFrame:
    kinds = run.kinds
    is_row = (kinds["role"] == Role.BASELINE) | kinds[key].notna()
    found = kinds[is_row]
    values = ["" if pd.isna(value) else f"{value:g}" for value in found[key].astype(object)]
    return pd.DataFrame({key: values, "variant": found.index.astype(str)})


def _add_score(rows: pd.DataFrame, study: Study, names: list[str]) -> None:
    table = study.accuracy.loc[names]
    for column in ("accuracy", "low", "high", "standard_error", "num_questions"):
        rows[f"{study.key}_{column}"] = table[column].to_numpy()
    tests = study.comparisons.reindex(names)
    for column in ("difference", "p_holm"):
        rows[f"{study.key}_{column}"] = tests[column].to_numpy()
    for low_high in ("low", "high"):
        rows[f"{study.key}_difference_{low_high}"] = tests[low_high].to_numpy()
    is_found = tests["p_holm"].to_numpy() <= ALPHA
    rows[f"{study.key}_star"] = ["*" if star else "" for star in is_found]


def _score_columns(key: str, label: str, rows: pd.DataFrame) -> list[Column]:
    counts = set(rows[f"{key}_num_questions"])
    columns = []
    if len(counts) == 1:
        label += f" (n = {counts.pop()})"
    else:
        columns.append(Column(f"{label} n", (f"{key}_num_questions",), Show.COUNT))
    keys = tuple(f"{key}_{end}" for end in ("accuracy", "low", "high"))
    columns.append(Column(label, keys, Show.INTERVAL, "Wilson's interval, 95 %"))
    columns.append(Column("diff.", (f"{key}_difference",), Show.POINTS, "points to the baseline"))
    columns.append(Column("", (f"{key}_star",), Show.TEXT))
    return columns


def _add_published(rows: pd.DataFrame, numbers: pd.Series[float]) -> None:
    correct = (numbers * published.GSM8K_QUESTIONS).round()
    low, high = statistics.wilson_interval(correct, published.GSM8K_QUESTIONS)
    rows["report_gsm8k"] = numbers
    rows["report_gsm8k_low"], rows["report_gsm8k_high"] = low, high


def _slug(study: Study) -> str:
    return study.key.replace("_", "-")


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
    questions, right = published.GSM8K_QUESTIONS, published.GSM8K_BASELINE_CORRECT
    bound = ALPHA / published.NUM_LAYERS
    all_lost = float(statistics.mcnemar_exact(right, 0))
    most_lost = float(statistics.mcnemar_exact(right - 3, 0))
    note = (
        f"GSM8K: 0.08 of the report's {questions} questions is {right} right answers (10 are "
        "rounded to 0.08 as well), with a standard error of 0.024; one answer more or less is "
        f"0.008. Losing all {right} gives p = {all_lost:.2g}, {right} to 3 gives p = "
        f"{most_lost:.2g}; {published.NUM_LAYERS} layers ask for {bound:.2g}. So the report's "
        "numbers can tell a total collapse from its baseline and nothing else, and they cannot "
        "order 30 % and 50 % of pruning. "
        "The report has one number per variant; both rules of scoring are shown beside it."
    )
    found = run.gsm8k.num_questions
    if found != questions:
        note += f" This archive has {found} questions: its accuracies differ by that alone."
    elif published.is_same_model(run.attributes):
        note += _agreement(run)
    return note


def _agreement(run: Run) -> str:
    by_layer, _ = report_tables(run)
    rows = by_layer.rows.dropna(subset=["report_gsm8k", "gsm8k_strict_accuracy"])
    inside = (rows["gsm8k_strict_accuracy"] >= rows["report_gsm8k_low"]) & (
        rows["gsm8k_strict_accuracy"] <= rows["report_gsm8k_high"]
    )
    return (
        f" The interval of the report's number holds this archive's strict score for "
        f"{int(inside.sum())} of {len(rows)} layers ({percent(float(inside.mean()))})."
    )
