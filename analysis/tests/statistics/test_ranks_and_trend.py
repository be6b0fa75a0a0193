from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import linregress, rankdata, ttest_1samp
from statsmodels.stats.contingency_tables import Table

from prune_sweep import statistics


def test_ranks_come_close_to_those_of_all_resamples():
    scores = np.array([[1, 1, 0, 1, 0], [0, 1, 0, 0, 0], [1, 0, 0, 1, 1]], float)
    draws = [scores[:, list(q)].sum(axis=1) for q in itertools.product(range(5), repeat=5)]
    ranks = np.array([rankdata(draw) for draw in draws])
    worst = np.mean([(d == d.min()) / (d == d.min()).sum() for d in draws], axis=0)
    found = statistics.bootstrap_ranks(scores, num_resamples=20_000, confidence=0.8)
    np.testing.assert_allclose(found.worst, worst, atol=0.02)
    np.testing.assert_array_equal(found.rank, rankdata(scores.sum(axis=1)))
    ordered = np.sort(ranks, axis=0)
    for level, ends in [(0.1, found.low), (0.9, found.high)]:
        near = [ordered[math.ceil(len(ordered) * x) - 1] for x in (level - 0.02, level + 0.02)]
        assert ((near[0] <= ends) & (ends <= near[1])).all()


def test_equal_variants_share_ranks_and_the_last_place():
    scores = np.tile(np.random.default_rng(1).random(50) < 0.5, (4, 1))
    found = statistics.bootstrap_ranks(scores, num_resamples=60)
    assert list(found.rank) == list(found.low) == list(found.high) == [2.5] * 4
    assert list(found.worst) == [0.25] * 4


def test_a_hopeless_variant_is_the_worst():
    random = np.random.default_rng(2)
    scores = (random.random((20, 200)) < 0.7).astype(float)
    scores[3] = random.random(200) < 0.1
    found = statistics.bootstrap_ranks(scores, num_resamples=500)
    assert found.worst[3] == 1
    assert (found.low[3], found.high[3]) == (1, 1)


def test_a_seed_gives_the_same_ranks():
    scores = np.random.default_rng(4).random((5, 30)) < 0.5
    first, second = (statistics.bootstrap_ranks(scores, 300) for _ in range(2))
    assert (first.low == second.low).all()
    assert (first.worst == second.worst).all()


def test_cochran_armitage_is_that_of_statsmodels():
    random = np.random.default_rng(6)
    for levels in ([0, 10, 20, 30], [0, 1], [1, 2, 5, 50, 90]):
        for _ in range(5):
            n = random.integers(5, 200, len(levels))
            correct = random.binomial(n, 0.4)
            found = statistics.cochran_armitage(correct, n, levels)
            table = Table(np.array([correct, n - correct]), shift_zeros=False)
            expected = table.test_ordinal_association(
                row_scores=np.array([1.0, 0.0]), col_scores=np.array(levels, float)
            )
            assert found.statistic == pytest.approx(expected.zscore, abs=1e-12)
            assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)


def test_a_trend_without_spread_is_none():
    for correct in ([0, 0, 0], [9, 9, 9]):
        found = statistics.cochran_armitage(correct, [9, 9, 9], [0, 1, 2])
        assert (found.statistic, found.p_value) == (0, 1)
    found = statistics.paired_trend(np.ones((3, 9)), [0, 1, 2])
    assert (found.slope, found.p_value) == (0, 1)
    falling = statistics.paired_trend([[1, 1, 1], [0, 0, 0]], [0, 1])
    assert (falling.slope, falling.p_value) == (-1, 0)


def test_the_paired_trend_is_a_t_test_of_the_questions_slopes():
    random = np.random.default_rng(8)
    levels = [0, 10, 30, 90]
    scores = (random.random((4, 70)) < [[0.6], [0.6], [0.4], [0.3]]).astype(float)
    slopes = [linregress(levels, column).slope for column in scores.T]
    expected = ttest_1samp(slopes, 0)
    found = statistics.paired_trend(scores, levels)
    assert found.slope == pytest.approx(np.mean(slopes), abs=1e-12)
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-10)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)


def test_the_isotonic_fit_is_the_closest_that_never_rises():
    values, weights = np.array([0.8, 0.82, 0.5, 0.6, 0.1]), np.array([10, 10, 5, 20, 10])
    fit = statistics.isotonic_fit(values, weights)
    assert (np.diff(fit) <= 0).all()
    constraints = {"type": "ineq", "fun": lambda x: -np.diff(x)}
    best = minimize(
        lambda x: (weights * (x - values) ** 2).sum(), values, constraints=constraints, tol=1e-14
    )
    np.testing.assert_allclose(fit, best.x, atol=1e-5)
    np.testing.assert_allclose(fit, [0.81, 0.81, 0.58, 0.58, 0.1], atol=1e-12)
