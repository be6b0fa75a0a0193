"""Many tests at once: adjusted p-values of a family."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from prune_sweep.statistics.proportion import Floats

#: Sign flips per block: bounds memory at some 100 MB with 14,042 questions.
_BLOCK = 500
#: Statistics that differ by less are equal: the same sum in another order.
_TIE = 1e-9


def holm(p_values: npt.ArrayLike) -> Floats:
    """Holm's step-down p-values: one at or below 0.05 errs in 5 % of families at most.

    A NaN is no test and stays.
    """
    return _adjusted(p_values, _holm)


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats:
    """Benjamini and Hochberg's p-values: of those at or below 0.05, 5 % are expected to be false.

    A NaN is no test and stays.
    """
    return _adjusted(p_values, _benjamini_hochberg)


def max_t(
    differences: npt.ArrayLike, num_flips: int = 10_000, seed: int = 1234
) -> tuple[Floats, Floats]:
    """Statistics and step-down max-|T| p-values of a family, by flipping signs of questions.

    ``differences`` is [variant, question], score minus the reference's, NaN where one of the two
    is missing. The statistic is sum(d) / sqrt(sum(d^2)). A flip changes the sign of one
    question in all variants together, which keeps the correlation through the common reference;
    with no more than 2^n = ``num_flips`` possible flips all are made, so p is exact. p is 1
    where nothing differs.
    """
    values = np.asarray(differences, float)
    values = np.where(np.isnan(values), 0.0, values)
    num_variants, num_questions = values.shape
    scale = np.sqrt((values**2).sum(axis=1))
    scaled = values / np.where(scale > 0, scale, 1)[:, None]
    statistic = scaled.sum(axis=1)
    order = np.argsort(-np.abs(statistic), kind="stable")
    scaled, observed = scaled[order], np.abs(statistic)[order]
    # Questions on which nothing differs flip nothing.
    scaled = scaled[:, (scaled != 0).any(axis=0)]
    num_questions = scaled.shape[1]
    is_exact = num_questions <= 30 and 2**num_questions <= num_flips
    num_reached = np.zeros(num_variants)
    num_drawn = 2**num_questions if is_exact else num_flips
    random = np.random.default_rng(seed)
    for first in range(0, num_drawn, _BLOCK):
        count = min(_BLOCK, num_drawn - first)
        if is_exact:
            bits = np.arange(first, first + count)[:, None] >> np.arange(num_questions)
            signs = 1.0 - 2.0 * (bits & 1)
        else:
            signs = 1.0 - 2.0 * random.integers(0, 2, (count, num_questions), np.int8)
        flipped = np.abs(signs @ scaled.T)
        # From the least significant up: the largest among those not yet decided.
        largest = np.maximum.accumulate(flipped[:, ::-1], axis=1)[:, ::-1]
        num_reached += (largest >= observed - _TIE).sum(axis=0)
    p_values = num_reached / num_drawn if is_exact else (num_reached + 1) / (num_drawn + 1)
    p_values = np.maximum.accumulate(p_values)
    p_values[observed == 0] = 1.0
    result = np.empty(num_variants)
    result[order] = p_values
    return statistic, result


def _adjusted(p_values: npt.ArrayLike, adjust: Callable[[Floats], Floats]) -> Floats:
    values = np.asarray(p_values, float)
    result = np.full(values.shape, np.nan)
    is_test = ~np.isnan(values)
    result[is_test] = adjust(values[is_test])
    return result


def _holm(values: Floats) -> Floats:
    order = np.argsort(values, kind="stable")
    steps = np.arange(values.size, 0, -1)
    result = np.empty(values.size)
    result[order] = np.minimum(1, np.maximum.accumulate(values[order] * steps))
    return result


def _benjamini_hochberg(values: Floats) -> Floats:
    order = np.argsort(values, kind="stable")[::-1]
    steps = values.size / np.arange(values.size, 0, -1)
    result = np.empty(values.size)
    result[order] = np.minimum(1, np.minimum.accumulate(values[order] * steps))
    return result
