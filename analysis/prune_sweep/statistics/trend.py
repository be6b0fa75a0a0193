"""Whether accuracy falls as more is taken away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import ndtr, stdtr

from prune_sweep.statistics.proportion import Floats, ratio


@dataclass(frozen=True)
class Trend:
    """A tested slope."""

    slope: float  #: change of the score per unit of the level
    statistic: float
    p_value: float  #: two-sided; 1 where no score changes


def paired_trend(scores: npt.ArrayLike, levels: npt.ArrayLike) -> Trend:
    """Slope over levels of [level, question] scores of the same questions.

    Each question has its own least-squares slope; a t test asks whether their mean is 0. This is
    Cochran and Armitage's contrast with the variance of paired questions.
    """
    values, x = np.asarray(scores, float), np.asarray(levels, float)
    centered = x - x.mean()
    slopes = centered @ values / (centered**2).sum()
    num_questions = slopes.size
    mean = float(slopes.mean())
    error = float(slopes.std(ddof=1) / np.sqrt(num_questions)) if num_questions > 1 else 0.0
    if error == 0:
        return Trend(mean, 0.0 if mean == 0 else float(np.inf * np.sign(mean)), float(mean == 0))
    statistic = mean / error
    return Trend(mean, statistic, float(2 * stdtr(num_questions - 1, -abs(statistic))))


def cochran_armitage(
    num_correct: npt.ArrayLike, num_questions: npt.ArrayLike, levels: npt.ArrayLike
) -> Trend:
    """The classical test of a trend in shares, which takes the levels' questions as different.

    Where the questions are the same it is conservative; see paired_trend. The variance is that
    of all ways to deal the answers out to the levels, with n - 1, as statsmodels has it.
    """
    correct, questions = np.asarray(num_correct, float), np.asarray(num_questions, float)
    x = np.asarray(levels, float)
    total = questions.sum()
    share = correct.sum() / total
    center = (questions * x).sum() / total
    spread = (questions * (x - center) ** 2).sum()
    score = (correct * (x - center)).sum()
    variance = float(share * (1 - share) * spread * ratio(total, total - 1))
    slope = float(ratio(score, spread))
    if not variance > 0:
        return Trend(slope, 0.0, 1.0)
    statistic = float(score / np.sqrt(variance))
    return Trend(slope, statistic, float(2 * ndtr(-abs(statistic))))


def isotonic_fit(accuracies: npt.ArrayLike, weights: npt.ArrayLike) -> Floats:
    """The closest accuracies that never rise from one level to the next."""
    values, masses = np.asarray(accuracies, float), np.asarray(weights, float)
    fit = isotonic_regression(values, weights=masses, increasing=False)
    return np.asarray(fit.x, float)
