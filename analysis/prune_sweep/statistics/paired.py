"""Two variants on the same questions: difference, interval, test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr

from prune_sweep.statistics.proportion import CONFIDENCE, Floats, ratio, two_sided_z

#: Halvings that take a bracket of width 2 below the resolution of a double.
_NUM_HALVINGS = 60


def mcnemar_exact(losses: npt.ArrayLike, gains: npt.ArrayLike) -> Floats:
    """McNemar's exact p: the binomial test of the discordant questions; 1 without any."""
    lost, gained = np.asarray(losses, int), np.asarray(gains, int)
    fewer = np.minimum(lost, gained).astype(float)
    return np.asarray(np.minimum(1.0, 2 * bdtr(fewer, lost + gained, 0.5)))


def mcnemar_mid(losses: npt.ArrayLike, gains: npt.ArrayLike) -> Floats:
    """McNemar's mid-p: as the exact p, but what was observed counts half; 1 without a pair.

    Less conservative than the exact p, which is why it is used where there are enough pairs.
    """
    lost, gained = np.asarray(losses, int), np.asarray(gains, int)
    fewer, total = np.minimum(lost, gained).astype(float), lost + gained
    up_to = bdtr(fewer, total, 0.5)
    below = np.where(fewer > 0, bdtr(np.maximum(fewer - 1, 0), total, 0.5), 0.0)
    # below + observed / 2, doubled.
    return np.asarray(np.minimum(1.0, below + up_to))


def paired_standard_error(
    losses: npt.ArrayLike, gains: npt.ArrayLike, num_questions: npt.ArrayLike
) -> Floats:
    """Standard error of the difference of two accuracies on the same questions.

    The sample standard deviation of the differences -1, 0, 1 over sqrt(n); NaN below two.
    """
    lost, gained = np.asarray(losses, float), np.asarray(gains, float)
    questions = np.asarray(num_questions, float)
    mean = ratio(gained - lost, questions)
    variance = ratio(lost + gained, questions) - mean**2
    return np.sqrt(ratio(np.maximum(variance, 0), questions - 1))


def bootstrap_interval(
    losses: npt.ArrayLike,
    gains: npt.ArrayLike,
    num_questions: npt.ArrayLike,
    confidence: float = CONFIDENCE,
) -> tuple[Floats, Floats]:
    """Percentile interval of the paired bootstrap over questions, of the difference.

    A resample's difference is a sum of n draws of -1, 0 and 1; its distribution is computed,
    not sampled, so that the result is that of infinitely many resamples. An end is the smallest
    difference below or at which that share of the resamples lies. NaN of no questions.
    """
    lost, gained, questions = np.broadcast_arrays(
        np.asarray(losses, int), np.asarray(gains, int), np.asarray(num_questions, int)
    )
    tail = (1 - confidence) / 2
    low, high = np.full(lost.shape, np.nan), np.full(lost.shape, np.nan)
    for at in np.ndindex(lost.shape):
        if questions[at] > 0:
            ends = _bootstrap_quantiles(
                int(lost[at]), int(gained[at]), int(questions[at]), (tail, 1 - tail)
            )
            low[at], high[at] = ends
    return low, high


def score_interval(
    losses: npt.ArrayLike,
    gains: npt.ArrayLike,
    num_questions: npt.ArrayLike,
    confidence: float = CONFIDENCE,
) -> tuple[Floats, Floats]:
    """Tango's score interval of the difference: keeps a width where no answer changed.

    Without a discordant pair it is z^2 / (n + z^2) to both sides. NaN of no questions.
    """
    lost, gained, questions = np.broadcast_arrays(
        np.asarray(losses, float), np.asarray(gains, float), np.asarray(num_questions, float)
    )
    z = float(two_sided_z(1 - confidence))
    mean = ratio(gained - lost, questions)

    def is_below(difference: Floats) -> npt.NDArray[np.bool_]:
        return _tango_score(gained, lost, questions, difference) > z

    def is_above(difference: Floats) -> npt.NDArray[np.bool_]:
        return _tango_score(gained, lost, questions, difference) < -z

    low = _bisect(is_below, np.full(mean.shape, -1.0), mean.copy())
    high = _bisect(lambda x: ~is_above(x), mean.copy(), np.full(mean.shape, 1.0))
    is_empty = ~(questions > 0)
    low = np.where(lost >= questions, -1.0, low)
    high = np.where(gained >= questions, 1.0, high)
    return np.where(is_empty, np.nan, low), np.where(is_empty, np.nan, high)


def _bootstrap_quantiles(
    lost: int, gained: int, questions: int, levels: tuple[float, float]
) -> tuple[float, float]:
    size = 2 * questions + 1
    turn = 2j * np.pi * np.arange(size // 2 + 1) / size
    share_lost, share_gained = lost / questions, gained / questions
    # The n-th power of the characteristic function of one draw.
    one = share_lost * np.exp(turn) + (1 - share_lost - share_gained) + share_gained * np.exp(-turn)
    mass = np.roll(np.fft.irfft(one**questions, size), questions)
    reached = np.cumsum(mass)
    # Rounding of the transform must not decide between two neighbours.
    places = [int(np.searchsorted(reached, level - 1e-12)) - questions for level in levels]
    return places[0] / questions, places[1] / questions


def _tango_score(gained: Floats, lost: Floats, questions: Floats, difference: Floats) -> Floats:
    """Score of the hypothesis that the difference is ``difference``."""
    a = 2 * questions
    b = -gained - lost + (2 * questions - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(np.maximum(b * b - 4 * a * c, 0))
        share = np.maximum((root - b) / (2 * a), 0)
        variance = questions * np.maximum(2 * share + difference * (1 - difference), 0)
        distance = gained - lost - questions * difference
        score = distance / np.sqrt(variance)
    return np.where(distance == 0, 0.0, score)


def _bisect(
    is_before: Callable[[Floats], npt.NDArray[np.bool_]], low: Floats, high: Floats
) -> Floats:
    for _ in range(_NUM_HALVINGS):
        middle = (low + high) / 2
        before = is_before(middle)
        low = np.where(before, middle, low)
        high = np.where(before, high, middle)
    return (low + high) / 2
