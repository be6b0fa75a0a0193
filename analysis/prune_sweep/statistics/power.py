"""What a comparison of n questions can see, and what it would miss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtri
from scipy.stats import binom

from prune_sweep.statistics.paired import mcnemar_mid
from prune_sweep.statistics.proportion import Floats, two_sided_z

POWER = 0.8


def minimum_detectable_difference(
    num_questions: npt.ArrayLike,
    discordant_share: npt.ArrayLike,
    alpha: npt.ArrayLike = 0.05,
    power: float = POWER,
) -> Floats:
    """Difference of two accuracies that a paired test finds with probability ``power``.

    Connor's normal approximation for McNemar's test, solved for the difference d:
    sqrt(n) d = z(alpha) sqrt(D) + z(power) sqrt(D - d^2), with D the share of questions that
    only one of the two has right. NaN where d would exceed D, which it cannot.
    """
    n, share = np.asarray(num_questions, float), np.asarray(discordant_share, float)
    za, zb = two_sided_z(alpha), ndtri(power)
    # (n + zb^2) d^2 - 2 sqrt(n) za sqrt(D) d + (za^2 - zb^2) D = 0, the larger root.
    inside = n * za**2 - (n + zb**2) * (za**2 - zb**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(share) * (np.sqrt(n) * za + np.sqrt(np.maximum(inside, 0))) / (n + zb**2)
    return np.where((root <= share) & (share > 0), root, np.nan)


def smallest_detectable_loss(
    num_questions: npt.ArrayLike, alpha: npt.ArrayLike = 0.05, power: float = POWER
) -> Floats:
    """The same for a variant that only loses: the smallest that can be found at all.

    With D = d: n d = (z(alpha) + z(power) sqrt(1 - d))^2. NaN where d would exceed 1.
    """
    n, a = np.broadcast_arrays(np.asarray(num_questions, float), np.asarray(alpha, float))
    za, zb = two_sided_z(a), ndtri(power)
    # With r = sqrt(1 - d): (n + zb^2) r^2 + 2 za zb r + za^2 - n = 0.
    inside = (za * zb) ** 2 - (n + zb**2) * (za**2 - n)
    with np.errstate(invalid="ignore"):
        root = (-za * zb + np.sqrt(inside)) / (n + zb**2)
    return np.where(root >= 0, 1 - root**2, np.nan)


def num_questions_needed(
    difference: float, discordant_share: float, alpha: float = 0.05, power: float = POWER
) -> int:
    """Questions that show ``difference`` with probability ``power``, by the same formula."""
    za, zb = float(two_sided_z(alpha)), float(ndtri(power))
    share = max(discordant_share, abs(difference))
    numerator = za * np.sqrt(share) + zb * np.sqrt(share - difference**2)
    return int(np.ceil((numerator / difference) ** 2))


def mcnemar_power(
    num_questions: int, share_lost: float, share_gained: float, alpha: float = 0.05
) -> float:
    """Probability that the mid-p test rejects, summed over all outcomes: no approximation.

    ``share_lost`` and ``share_gained`` are the true shares of questions that only the reference
    and only the variant has right.
    """
    total = share_lost + share_gained
    if total == 0:
        return 0.0
    discordant = np.arange(num_questions + 1)
    weight = binom.pmf(discordant, num_questions, total)
    power = 0.0
    for size in discordant[weight > 1e-15]:
        lost = np.arange(size + 1)
        rejects = mcnemar_mid(lost, size - lost) <= alpha
        chance = _binomial_mass(lost, int(size), share_lost / total)
        power += float(weight[size] * chance[rejects].sum())
    return power


def _binomial_mass(k: npt.NDArray[np.int_], n: int, p: float) -> Floats:
    if p in (0.0, 1.0):
        return np.asarray(k == n * p, float)
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.asarray(np.exp(choose + k * np.log(p) + (n - k) * np.log1p(-p)))
