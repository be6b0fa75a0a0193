"""Questions come in subjects: two standard errors that know it, and the factor of a subset."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prune_sweep.statistics.proportion import Floats, ratio

Codes = npt.NDArray[np.intp]


def clustered_standard_error(values: npt.ArrayLike, subjects: npt.ArrayLike) -> Floats:
    """Standard error of a mean if the subjects are a sample of subjects.

    ``values`` is [..., question], NaN where missing; ``subjects`` [question]. It is
    sqrt(G / (G - 1) sum over subjects of (sum of x - mean)^2) / n, the cluster-robust error of a
    regression on a constant. NaN below two subjects.
    """
    data, is_there, codes = _prepared(values, subjects)
    count = is_there.sum(axis=-1)
    mean = ratio(data.sum(axis=-1), count)
    residual = np.where(is_there, data - mean[..., None], 0)
    totals = _by_subject(residual, codes)
    groups = (_by_subject(is_there.astype(float), codes) > 0).sum(axis=-1)
    squares = (totals**2).sum(axis=-1)
    return np.sqrt(ratio(groups * squares, groups - 1)) / np.where(count > 0, count, np.nan)


def stratified_standard_error(values: npt.ArrayLike, subjects: npt.ArrayLike) -> Floats:
    """Standard error of a mean if the subjects are fixed and questions are drawn within each.

    sqrt(sum over subjects of (n_s / n)^2 s_s^2 / n_s), s_s^2 with n_s - 1. A subject of one
    question, whose spread nobody knows, takes that of all questions. NaN below two questions.
    """
    data, is_there, codes = _prepared(values, subjects)
    count = is_there.sum(axis=-1)
    sizes = _by_subject(is_there.astype(float), codes)
    sums = _by_subject(data, codes)
    squares = _by_subject(data**2, codes)
    within = ratio(squares - ratio(sums**2, sizes), sizes - 1)
    mean = ratio(data.sum(axis=-1), count)
    spread = np.where(is_there, (data - mean[..., None]) ** 2, 0).sum(axis=-1)
    overall = ratio(spread, count - 1)
    within = np.where(sizes == 1, overall[..., None], within)
    variance = np.where(sizes > 0, sizes * within, 0).sum(axis=-1)
    error: Floats = np.sqrt(np.maximum(variance, 0)) / np.where(count > 1, count, np.nan)
    return error


def finite_population_factor(num_questions: npt.ArrayLike, population: npt.ArrayLike) -> Floats:
    """sqrt(1 - n / N): what a standard error shrinks by if the benchmark itself is the target.

    1 for an unknown (infinite) population, 0 where all questions were asked.
    """
    n, total = np.asarray(num_questions, float), np.asarray(population, float)
    return np.asarray(np.sqrt(np.clip(1 - n / total, 0, 1)))


def _prepared(
    values: npt.ArrayLike, subjects: npt.ArrayLike
) -> tuple[Floats, npt.NDArray[np.bool_], Codes]:
    data = np.asarray(values, float)
    is_there = ~np.isnan(data)
    codes: Codes = np.unique(np.asarray(subjects), return_inverse=True)[1].reshape(-1)
    return np.where(is_there, data, 0), is_there, codes


def _by_subject(values: Floats, codes: Codes) -> Floats:
    """Sums [..., subject] of values [..., question]."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return np.asarray(np.add.reduceat(values[..., order], starts, axis=-1))
