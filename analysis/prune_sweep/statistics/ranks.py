"""Who is worst, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from prune_sweep.statistics.proportion import CONFIDENCE, Floats

#: Resamples per block: bounds memory with 10,000 variants.
_BLOCK = 50


@dataclass(frozen=True)
class Ranks:
    """Ranks of variants, each [variant]. Rank 1 is the worst; ties share their mean rank."""

    rank: Floats  #: by the observed accuracy
    low: Floats
    high: Floats
    worst: Floats  #: probability of being the worst; variants that tie share it


def bootstrap_ranks(
    scores: npt.ArrayLike,
    num_resamples: int = 2_000,
    confidence: float = CONFIDENCE,
    seed: int = 1234,
) -> Ranks:
    """Ranks of [variant, question] scores, all resampled by the same questions.

    Every variant must have a number for every question. The interval has the ranks between the
    tails of the resamples: it is that of one variant looked at by itself, not of all at once.
    """
    values = np.asarray(scores, np.float32)
    num_variants, num_questions = values.shape
    random = np.random.default_rng(seed)
    ranks = np.empty((num_resamples, num_variants), np.float32)
    worst = np.zeros(num_variants)
    for first in range(0, num_resamples, _BLOCK):
        count = min(_BLOCK, num_resamples - first)
        weights = random.multinomial(
            num_questions, np.full(num_questions, 1 / num_questions), count
        )
        totals = weights.astype(np.float32) @ values.T
        ranks[first : first + count] = rankdata(totals, axis=1)
        is_worst = totals == totals.min(axis=1, keepdims=True)
        worst += (is_worst / is_worst.sum(axis=1, keepdims=True)).sum(axis=0)
    tail = (1 - confidence) / 2
    low, high = _quantiles(ranks, tail), _quantiles(ranks, 1 - tail)
    observed = rankdata(values.sum(axis=1, dtype=np.float64))
    return Ranks(np.asarray(observed, float), low, high, worst / num_resamples)


def _quantiles(ranks: npt.NDArray[np.float32], level: float) -> Floats:
    """Smallest rank that the share ``level`` of the resamples does not exceed. Sorts in blocks."""
    place = int(np.ceil(level * len(ranks) - 1e-9)) - 1
    result = np.empty(ranks.shape[1])
    for first in range(0, ranks.shape[1], 1_000):
        block = np.partition(ranks[:, first : first + 1_000], place, axis=0)
        result[first : first + 1_000] = block[place]
    return result
