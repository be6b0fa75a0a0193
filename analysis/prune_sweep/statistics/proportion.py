"""One share of right answers: its standard error and interval."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

Floats = npt.NDArray[np.float64]

#: Level of all intervals unless said otherwise.
CONFIDENCE = 0.95


def accuracy(num_correct: npt.ArrayLike, num_questions: npt.ArrayLike) -> Floats:
    """Share of correct answers; NaN of no questions."""
    return ratio(np.asarray(num_correct, float), np.asarray(num_questions, float))


def standard_error(num_correct: npt.ArrayLike, num_questions: npt.ArrayLike) -> Floats:
    """Standard error of an accuracy p of n questions: sqrt(p (1 - p) / (n - 1)).

    This is the sample standard deviation of n zeros and ones over sqrt(n), as
    lm-evaluation-harness has it; NaN below two questions. It is 0 for 0 of n and n of n, where
    an interval says more.
    """
    questions = np.asarray(num_questions, float)
    share = accuracy(num_correct, questions)
    return np.sqrt(ratio(share * (1 - share), questions - 1))


def wilson_interval(
    num_correct: npt.ArrayLike,
    num_questions: npt.ArrayLike,
    confidence: float = CONFIDENCE,
    population: npt.ArrayLike = np.inf,
) -> tuple[Floats, Floats]:
    """Wilson's score interval of an accuracy; NaN of no questions.

    ``population`` is the size of the benchmark that the questions were drawn from: the interval
    is then that of the accuracy on all of it, with the variance times (N - n) / (N - 1).
    """
    correct, questions, total = np.broadcast_arrays(
        np.asarray(num_correct, float),
        np.asarray(num_questions, float),
        np.asarray(population, float),
    )
    share = accuracy(correct, questions)
    z2 = two_sided_z(1 - confidence) ** 2 * _finite_variance_factor(questions, total)
    denominator = 1 + ratio(z2, questions)
    center = (share + ratio(z2, 2 * questions)) / denominator
    spread = np.sqrt(z2 * (ratio(share * (1 - share), questions) + ratio(z2, 4 * questions**2)))
    half = spread / denominator
    low = np.where(correct == 0, 0, np.clip(center - half, 0, 1))
    high = np.where(correct == questions, 1, np.clip(center + half, 0, 1))
    is_empty = ~(questions > 0)
    return np.where(is_empty, np.nan, low), np.where(is_empty, np.nan, high)


def two_sided_z(alpha: npt.ArrayLike) -> Floats:
    """Normal quantile that |z| exceeds with probability ``alpha``."""
    return np.asarray(-ndtri(np.asarray(alpha, float) / 2))


def ratio(top: npt.ArrayLike, bottom: npt.ArrayLike) -> Floats:
    """Quotient, NaN where the divisor is not positive."""
    top, bottom = np.asarray(top, float), np.asarray(bottom, float)
    result: Floats = np.full(np.broadcast(top, bottom).shape, np.nan)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result


def _finite_variance_factor(questions: Floats, population: Floats) -> Floats:
    is_finite = np.isfinite(population)
    bounded = np.where(is_finite, population, 2.0)
    factor = ratio(np.maximum(bounded - questions, 0), np.maximum(bounded - 1, 1))
    return np.where(is_finite, factor, 1.0)
