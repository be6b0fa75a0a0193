"""Variants against a reference on the same questions: which differences are real."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from prune_sweep import statistics
from prune_sweep.archive import Array
from prune_sweep.statistics.proportion import CONFIDENCE, Floats

#: Family-wise error of all verdicts.
ALPHA = 1 - CONFIDENCE
#: With fewer discordant questions the exact test and Tango's interval are used.
FEW_DISCORDANT = 25


def compare_scores(
    scores: npt.ArrayLike,
    reference: npt.ArrayLike,
    names: pd.Index[str],
    subjects: npt.ArrayLike | None = None,
) -> pd.DataFrame:
    """Each row of [variant, question] scores against ``reference`` [question].

    Scores are 0 and 1, NaN where missing; a pair counts where both are there. All rows are one
    family: ``p_holm``, ``p_bh`` and ``p_max_t`` are adjusted for its size. ``subjects``, where
    given, adds the clustered and the stratified standard error of the difference.

    ``p_value`` is McNemar's mid-p, from 25 discordant questions on, else the exact one; ``low``
    and ``high`` are the paired bootstrap's, else Tango's, because few discordant questions make
    the bootstrap too narrow, and none leave it without a width.
    """
    ours, theirs = np.asarray(scores, float), np.asarray(reference, float)
    differences = ours - theirs
    is_pair = ~np.isnan(differences)
    num_questions = is_pair.sum(axis=1)
    losses, gains = (differences == -1).sum(axis=1), (differences == 1).sum(axis=1)
    num_correct = np.where(is_pair, ours, 0).sum(axis=1)
    num_reference = np.where(is_pair, theirs, 0).sum(axis=1)
    boot_low, boot_high = statistics.bootstrap_interval(losses, gains, num_questions)
    score_low, score_high = statistics.score_interval(losses, gains, num_questions)
    is_few = losses + gains < FEW_DISCORDANT
    p_exact = statistics.mcnemar_exact(losses, gains)
    p_mid = statistics.mcnemar_mid(losses, gains)
    is_empty = num_questions == 0
    p_value = np.where(is_empty, np.nan, np.where(is_few, p_exact, p_mid))
    max_t, p_max_t = statistics.max_t(differences) if len(names) else (p_value, p_value)
    frame = pd.DataFrame(
        {
            "num_questions": num_questions,
            "accuracy": statistics.accuracy(num_correct, num_questions),
            "reference_accuracy": statistics.accuracy(num_reference, num_questions),
            "difference": statistics.accuracy(gains - losses, num_questions),
            "low": np.where(is_few, score_low, boot_low),
            "high": np.where(is_few, score_high, boot_high),
            "interval": np.where(is_few, "score", "bootstrap"),
            "standard_error": statistics.paired_standard_error(losses, gains, num_questions),
            "bootstrap_low": boot_low,
            "bootstrap_high": boot_high,
            "score_low": score_low,
            "score_high": score_high,
            "losses": losses,
            "gains": gains,
            "flips": statistics.accuracy(losses + gains, num_questions),
            "p_value": p_value,
            "test": np.where(is_few, "exact", "mid-p"),
            "p_exact": p_exact,
            "p_mid": p_mid,
            "p_holm": statistics.holm(p_value),
            "p_bh": statistics.benjamini_hochberg(p_value),
            "max_t": max_t,
            "p_max_t": np.where(is_empty, np.nan, p_max_t),
        },
        index=names,
    )
    if subjects is not None:
        frame["clustered_error"] = statistics.clustered_standard_error(differences, subjects)
        frame["stratified_error"] = statistics.stratified_standard_error(differences, subjects)
    frame["verdict"] = _verdicts(frame)
    return frame


def _verdicts(frame: pd.DataFrame) -> list[str]:
    """`worse` or `better` where Holm's p says so, else `not distinguishable`."""
    words = []
    for difference, p_holm in zip(frame["difference"], frame["p_holm"], strict=True):
        if np.isnan(p_holm):
            words.append("not evaluated")
        elif p_holm > ALPHA:
            words.append("not distinguishable")
        else:
            words.append("worse" if difference < 0 else "better")
    return words


@dataclass(frozen=True)
class Detectable:
    """What a family of comparisons can see with a power of 80 %."""

    num_questions: int
    num_tests: int
    discordant_share: float  #: median of the family
    alone: float  #: minimum detectable difference of one comparison by itself
    in_family: float  #: with 0.05 divided by the number of tests

    def sentence(self) -> str:
        """For the top of a table."""
        if self.num_questions == 0 or self.num_tests == 0:
            return "Minimum detectable difference: there is nothing to compare."
        alone, family = self.alone, self.in_family
        # A difference cannot exceed the discordant share.
        is_beyond = not family <= self.discordant_share
        pure_loss = ", where every discordant question is lost" if is_beyond else ""
        return (
            f"Minimum detectable difference at n = {self.num_questions}, power 80 %, with "
            f"{percent(self.discordant_share)} of the questions discordant (the median of these "
            f"comparisons): {points(alone)} for one comparison, {points(family)} in the family "
            f"of {self.num_tests}{pure_loss}. Smaller differences are missed more often than "
            "one time in five."
        )


def detectable(frame: pd.DataFrame) -> Detectable:
    """What the comparisons in ``frame``, made by compare_scores, can see.

    Where so few questions are discordant that no difference would be found, it is that of a
    variant that only loses.
    """
    tested = frame[frame["num_questions"] > 0]
    if tested.empty:
        return Detectable(0, 0, np.nan, np.nan, np.nan)
    num_questions = int(tested["num_questions"].median())
    share = float(tested["flips"].median())

    def smallest(alpha: float) -> float:
        found = float(statistics.minimum_detectable_difference(num_questions, share, alpha))
        if np.isnan(found):
            found = float(statistics.smallest_detectable_loss(num_questions, alpha))
        return found

    num_tests = len(tested)
    return Detectable(num_questions, num_tests, share, smallest(ALPHA), smallest(ALPHA / num_tests))


def points(share: float, signed: bool = False) -> str:
    """A difference of shares in percentage points."""
    if np.isnan(share):
        return "more than there is"
    sign = "+" if signed else ""
    return f"{100 * share:{sign}.1f} points"


def percent(share: float) -> str:
    """A share in percent, with a digit where it is needed."""
    if np.isnan(share):
        return "-"
    value = 100 * share
    return f"{value:.0f} %" if abs(value) >= 10 or value == 0 else f"{value:.1f} %"


def as_floats(scores: Array) -> Floats:
    """Scores with NaN where they are masked."""
    return np.asarray(np.ma.filled(scores.astype(np.float64), np.nan))
