from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from prune_sweep import statistics


def families():
    random = np.random.default_rng(3)
    yield [0.04]
    yield [0.0, 0.0, 1.0]
    yield [0.01, 0.01, 0.01]
    for size in (2, 9, 28, 37, 500):
        yield random.random(size) ** 3


def test_holm_and_benjamini_hochberg_are_those_of_statsmodels_and_scipy():
    for family in families():
        expected = multipletests(family, method="holm")[1]
        np.testing.assert_allclose(statistics.holm(family), expected, rtol=0, atol=1e-12)
        expected = multipletests(family, method="fdr_bh")[1]
        found = statistics.benjamini_hochberg(family)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found, false_discovery_control(family), rtol=0, atol=1e-12)


def test_what_is_no_test_is_not_counted():
    for adjust in (statistics.holm, statistics.benjamini_hochberg):
        found = adjust([0.01, math.nan, 0.02])
        assert math.isnan(found[1])
        np.testing.assert_allclose(found[[0, 2]], adjust([0.01, 0.02]), atol=1e-15)
        assert adjust([]).size == 0


def step_down(differences):
    """All 2^n flips, and Westfall and Young's steps as they are defined."""
    n = differences.shape[1]
    scale = np.sqrt((differences**2).sum(axis=1))
    statistic = np.array(
        [row.sum() / s if s else 0 for row, s in zip(differences, scale, strict=True)]
    )
    order = sorted(range(len(statistic)), key=lambda i: -abs(statistic[i]))
    p_values, largest = np.ones(len(statistic)), 0.0
    for step, variant in enumerate(order):
        rest = order[step:]
        num_reached = 0
        for signs in itertools.product((1, -1), repeat=n):
            flipped = [
                abs((differences[i] * signs).sum()) / scale[i] if scale[i] else 0 for i in rest
            ]
            num_reached += max(flipped) >= abs(statistic[variant]) - 1e-9
        largest = max(largest, num_reached / 2**n)
        p_values[variant] = largest if scale[variant] else 1.0
    return statistic, p_values


def test_max_t_is_that_of_all_flips():
    random = np.random.default_rng(7)
    for variants, n, share in [(1, 6, 0.7), (4, 8, 0.5), (3, 10, 0.3), (5, 9, 1.0)]:
        base = random.random(n) < 0.6
        scores = np.where(
            random.random((variants, n)) < share, random.random((variants, n)) < 0.3, base
        )
        differences = scores.astype(float) - base
        expected = step_down(differences)
        found = statistics.max_t(differences)
        np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-12)
        values = random.normal(size=(variants, n))
        np.testing.assert_allclose(
            statistics.max_t(values)[1], step_down(values)[1], rtol=0, atol=1e-12
        )


def test_drawn_flips_come_close_to_all_flips():
    random = np.random.default_rng(11)
    differences = random.integers(-1, 2, (4, 12)).astype(float)
    exact = statistics.max_t(differences, num_flips=4096)[1]
    drawn = statistics.max_t(differences, num_flips=4095)[1]
    np.testing.assert_allclose(drawn, exact, atol=0.04)


def test_max_t_of_no_difference_is_one():
    statistic, p_values = statistics.max_t(np.zeros((3, 20)))
    assert list(statistic) == [0, 0, 0]
    assert list(p_values) == [1, 1, 1]
    assert list(statistics.max_t(np.full((2, 4), np.nan))[1]) == [1, 1]


def test_one_test_is_the_sign_test():
    """With one variant and differences of 0 and 1, max-T is the binomial test."""
    differences = np.array([[1.0] * 9 + [-1.0] * 1 + [0.0] * 30])
    (found,) = statistics.max_t(differences)[1]
    assert found == pytest.approx(float(statistics.mcnemar_exact(1, 9)), abs=1e-12)
