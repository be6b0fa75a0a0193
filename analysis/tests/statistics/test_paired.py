from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binom, binomtest, bootstrap, norm, ttest_rel
from statsmodels.stats.contingency_tables import mcnemar

from prune_sweep import statistics

PAIRS = [*itertools.product((0, 1, 2, 3, 8, 11), repeat=2), (40, 12), (300, 290), (1000, 20)]


def test_exact_mcnemar_is_that_of_statsmodels_and_scipy():
    for lost, gained in PAIRS:
        found = float(statistics.mcnemar_exact(lost, gained))
        table = [[50, lost], [gained, 60]]
        assert found == pytest.approx(mcnemar(table, exact=True).pvalue, abs=1e-12)
        if lost + gained:
            expected = binomtest(lost, lost + gained).pvalue
            assert found == pytest.approx(expected, abs=1e-12)


def test_mid_p_counts_what_was_observed_half():
    for lost, gained in PAIRS:
        total = lost + gained
        chances = binom.pmf(np.arange(total + 1), total, 0.5)
        low = chances[:lost].sum() + chances[lost] / 2
        high = chances[lost + 1 :].sum() + chances[lost] / 2
        expected = min(1, 2 * min(low, high))
        assert float(statistics.mcnemar_mid(lost, gained)) == pytest.approx(expected, abs=1e-12)


def test_the_smallest_significant_splits_of_the_reference_values():
    def smallest(p_value, alpha, gains):
        return next(b for b in range(100) if b > gains and p_value(b, gains) <= alpha)

    exact, mid = statistics.mcnemar_exact, statistics.mcnemar_mid
    assert [smallest(exact, alpha, 0) for alpha in (0.05, 0.05 / 28)] == [6, 11]
    assert [smallest(mid, alpha, 0) for alpha in (0.05, 0.05 / 28)] == [5, 10]
    assert [smallest(exact, alpha, 2) for alpha in (0.05, 0.05 / 28)] == [10, 16]
    assert float(exact(11, 0)) == pytest.approx(0.00098, abs=5e-6)
    assert float(exact(8, 0)) == pytest.approx(0.0078, abs=5e-5)


def test_without_a_discordant_pair_nothing_is_shown():
    assert statistics.mcnemar_exact(0, 0) == statistics.mcnemar_mid(0, 0) == 1
    assert statistics.bootstrap_interval(0, 0, 132) == (0, 0)
    low, high = statistics.score_interval(0, 0, 132)
    z2 = norm.ppf(0.975) ** 2
    assert -low == pytest.approx(z2 / (132 + z2), abs=1e-12)
    assert high == pytest.approx(z2 / (132 + z2), abs=1e-12)


def test_of_no_questions_nothing_is_a_number():
    for interval in (statistics.bootstrap_interval, statistics.score_interval):
        assert all(math.isnan(end) for end in interval(0, 0, 0))
    assert math.isnan(statistics.paired_standard_error(0, 0, 0))
    assert math.isnan(statistics.paired_standard_error(0, 0, 1))


def differences(lost, gained, n):
    return np.array([-1] * lost + [1] * gained + [0] * (n - lost - gained), float)


def test_the_paired_error_is_that_of_the_differences():
    for lost, gained, n in [(3, 5, 12), (0, 0, 9), (9, 0, 9), (11, 2, 132), (200, 150, 1319)]:
        values = differences(lost, gained, n)
        found = float(statistics.paired_standard_error(lost, gained, n))
        assert found == pytest.approx(values.std(ddof=1) / math.sqrt(n), abs=1e-12)
        if 0 < lost + gained < n:
            t = ttest_rel(values, np.zeros(n)).statistic
            assert values.mean() / found == pytest.approx(t, abs=1e-9)


@pytest.mark.parametrize(("lost", "gained", "n"), [(1, 2, 5), (3, 0, 6), (0, 0, 4), (6, 0, 6)])
def test_the_bootstrap_is_that_of_all_resamples(lost, gained, n):
    values = differences(lost, gained, n)
    means = np.sort([np.mean(draw) for draw in itertools.product(values, repeat=n)])
    for confidence in (0.5, 0.9, 0.95):
        found = statistics.bootstrap_interval(lost, gained, n, confidence)
        tail = (1 - confidence) / 2
        for end, level in zip(found, (tail, 1 - tail), strict=True):
            place = math.ceil(level * len(means) - 1e-6) - 1
            assert end == pytest.approx(means[place], abs=1e-12)


@pytest.mark.parametrize(("lost", "gained", "n"), [(11, 2, 132), (60, 40, 400), (200, 150, 1319)])
def test_the_bootstrap_is_that_of_scipy_within_its_noise(lost, gained, n):
    low, high = statistics.bootstrap_interval(lost, gained, n)
    found = bootstrap(
        (differences(lost, gained, n),),
        np.mean,
        n_resamples=2000,
        method="percentile",
        batch=200,
        random_state=np.random.default_rng(5),
    ).confidence_interval
    noise = 5 * float(statistics.paired_standard_error(lost, gained, n)) / math.sqrt(400)
    assert [low, high] == pytest.approx(list(found), abs=max(noise, 2 / n))


@pytest.mark.parametrize(
    ("lost", "gained", "n"),
    [(0, 0, 10), (3, 0, 12), (0, 5, 40), (11, 2, 132), (200, 150, 1319), (12, 0, 12), (0, 7, 7)],
)
def test_the_score_interval_solves_tangos_equation(lost, gained, n):
    """With the restricted maximum of the likelihood found by a search instead of its formula."""
    z = norm.ppf(0.975)

    def score(difference):
        def minus_loglik(lost_share):
            shares = (lost_share, lost_share + difference, 1 - 2 * lost_share - difference)
            counts = (lost, gained, n - lost - gained)
            return -sum(
                k * math.log(max(p, 1e-300)) for k, p in zip(counts, shares, strict=True) if k
            )

        bounds = (max(0, -difference), (1 - difference) / 2)
        found = minimize_scalar(
            minus_loglik, bounds=bounds, method="bounded", options={"xatol": 1e-14}
        )
        candidates = [found.x, *bounds]
        share = min(candidates, key=minus_loglik)
        variance = n * (2 * share + difference * (1 - difference))
        return (gained - lost - n * difference) / math.sqrt(max(variance, 1e-300))

    low, high = (float(end) for end in statistics.score_interval(lost, gained, n))
    mean = (gained - lost) / n
    if mean > -1:
        expected = brentq(lambda x: score(x) - z, -1 + 1e-9, mean - 1e-9)
        assert low == pytest.approx(expected, abs=2e-6)
    if mean < 1:
        expected = brentq(lambda x: score(x) + z, mean + 1e-9, 1 - 1e-9)
        assert high == pytest.approx(expected, abs=2e-6)
    assert low <= mean <= high


def test_the_score_interval_without_gains_is_wilsons():
    """With b losses and no gain Tango's upper end comes close to, and its lower below, zero."""
    low, high = statistics.score_interval(0, [0, 3, 9], 60)
    mirrored = statistics.score_interval([0, 3, 9], 0, 60)
    np.testing.assert_allclose(low, -mirrored[1], atol=1e-12)
    np.testing.assert_allclose(high, -mirrored[0], atol=1e-12)
