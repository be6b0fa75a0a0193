"""What accuracy does not show: flips, changed answers, distances, odd texts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from prune_sweep import statistics
from prune_sweep.benchmark import Benchmark
from prune_sweep.comparison import ALPHA, as_floats
from prune_sweep.statistics.proportion import Floats, ratio


def distances(benchmark: Benchmark, reference: str = "baseline") -> pd.DataFrame:
    """How far each variant's answers are from the reference's, right or wrong.

    ``answers_changed`` is the share of questions with another answer: the likeliest choice, or
    the extracted text. Multiple choice: ``kl`` is the mean KL(reference || variant) over the
    choices. Columns that the archive has beside accuracy, gold_probability and gold_loglik, are
    means with the mean difference to the reference, its interval and a paired t test.
    """
    frame = pd.DataFrame(index=benchmark.variants)
    scores = as_floats(benchmark.correct)
    base = scores[benchmark.row(reference)]
    is_pair = ~np.isnan(scores) & ~np.isnan(base)
    num_pairs = is_pair.sum(axis=1)
    frame["num_questions"] = num_pairs
    frame["flips"] = ratio((is_pair & (scores != base)).sum(axis=1), num_pairs)
    if "loglik" in benchmark.columns:
        _add_choices(frame, benchmark, reference, is_pair)
    elif benchmark.answer_column:
        frame["answers_changed"] = _texts_changed(benchmark, reference, is_pair)
    for name in ("gold_probability", "gold_loglik"):
        if name not in benchmark.columns:
            continue
        values = benchmark.column(name).astype(np.float64)
        if np.isfinite(values).any():  # gold solutions may not have been scored
            paired = paired_means(values, values[benchmark.row(reference)])
            frame = frame.join(paired.set_index(frame.index).add_prefix(f"{name}_"))
    return frame


def paired_means(values: Floats, reference: Floats) -> pd.DataFrame:
    """Mean of each row, mean difference to ``reference``, its interval and paired t test.

    NaN and infinite values are left out, in pairs.
    """
    differences = np.where(np.isfinite(values) & np.isfinite(reference), values - reference, np.nan)
    is_pair = ~np.isnan(differences)
    count = is_pair.sum(axis=1)
    mean = ratio(np.where(is_pair, values, 0).sum(axis=1), count)
    difference = ratio(np.where(is_pair, differences, 0).sum(axis=1), count)
    spread = np.where(is_pair, (differences - difference[:, None]) ** 2, 0).sum(axis=1)
    error = np.sqrt(ratio(ratio(spread, count - 1), count))
    # No spread is no difference anywhere, or the same one everywhere.
    t = np.where(difference == 0, 0, np.inf)
    np.divide(np.abs(difference), error, out=t, where=error > 0)
    degrees = np.maximum(count - 1, 1)
    p_value = np.where(count > 1, 2 * stats.t.sf(t, degrees), np.nan)
    reach = stats.t.isf(ALPHA / 2, degrees) * error
    return pd.DataFrame(
        {
            "mean": mean,
            "difference": difference,
            "low": difference - reach,
            "high": difference + reach,
            "p_value": p_value,
        }
    )


def odd_answers(benchmark: Benchmark) -> pd.DataFrame:
    """Shares of odd answers by variant, and the ``signs`` that the program's gates see in them.

    Of archives that were made before they were kept: what can be counted, and no signs.
    """
    shares = benchmark.shares
    if shares.empty:
        shares = _counted_shares(benchmark)
    frame = shares.drop(columns=["correct"], errors="ignore")
    if "signs" not in frame:
        frame["signs"] = ""
    return frame


def _add_choices(
    frame: pd.DataFrame, benchmark: Benchmark, reference: str, is_pair: np.ndarray
) -> None:
    row = benchmark.row(reference)
    num_pairs = is_pair.sum(axis=1)
    base = benchmark.numbers_of("loglik", row)
    changed, means, errors = [], [], []
    for variant in range(len(frame)):
        values = benchmark.numbers_of("loglik", variant)
        pairs = is_pair[variant]
        likeliest = np.nan_to_num(values, nan=-np.inf).argmax(axis=1)
        first = np.nan_to_num(base, nan=-np.inf).argmax(axis=1)
        changed.append(int((pairs & (likeliest != first)).sum()))
        divergence = statistics.kl_divergence(base, values)[pairs]
        divergence = divergence[~np.isnan(divergence)]
        size = divergence.size
        means.append(divergence.mean() if size else np.nan)
        errors.append(divergence.std(ddof=1) / np.sqrt(size) if size > 1 else np.nan)
    frame["answers_changed"] = ratio(np.array(changed), num_pairs)
    frame["kl"] = means
    frame["kl_standard_error"] = errors


def _texts_changed(benchmark: Benchmark, reference: str, is_pair: np.ndarray) -> Floats:
    column = benchmark.answer_column
    base = np.array(benchmark.texts(column, reference), dtype=object)
    changed = np.zeros(len(benchmark.variants))
    for variant, name in enumerate(benchmark.variants):
        answers = np.array(benchmark.texts(column, str(name)), dtype=object)
        changed[variant] = (is_pair[variant] & (answers != base)).sum()
    return ratio(changed, is_pair.sum(axis=1))


def _counted_shares(benchmark: Benchmark) -> pd.DataFrame:
    frame = pd.DataFrame(index=benchmark.variants)
    if benchmark.kind == "generation" and "stop" in benchmark.columns:
        stop = benchmark.column("stop")
        labels = {text: number for number, text in benchmark.labels("stop").items()}
        num_answers = np.ma.count(stop, axis=1)
        for name, label in (("truncated", "length"), ("not_finite", "not finite")):
            count = np.ma.filled(stop == labels.get(label, -1), False).sum(axis=1)
            frame[name] = ratio(count, num_answers)
    return frame
