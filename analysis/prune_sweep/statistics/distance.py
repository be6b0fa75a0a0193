"""How far a variant's answers are from the reference's, right or wrong."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from prune_sweep.statistics.proportion import Floats


def choice_probabilities(loglik: npt.ArrayLike) -> Floats:
    """Shares of the choices, the last axis, in the probability of all of them."""
    values = np.asarray(loglik, float)
    return np.asarray(np.exp(values - logsumexp(values, axis=-1, keepdims=True)))


def kl_divergence(reference: npt.ArrayLike, variant: npt.ArrayLike) -> Floats:
    """KL(reference || variant) over the choices, the last axis, from log-likelihoods; in nat.

    NaN where a log-likelihood is not finite.
    """
    p, q = np.asarray(reference, float), np.asarray(variant, float)
    with np.errstate(invalid="ignore"):
        log_p = p - logsumexp(p, axis=-1, keepdims=True)
        log_q = q - logsumexp(q, axis=-1, keepdims=True)
        divergence = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    is_finite = np.isfinite(p).all(axis=-1) & np.isfinite(q).all(axis=-1)
    # Rounding may leave it below 0 by some 1e-17.
    return np.where(is_finite, np.maximum(divergence, 0), np.nan)
