from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm

from prune_sweep import statistics


def samples():
    random = np.random.default_rng(13)
    for n, groups in [(12, 2), (60, 7), (400, 57)]:
        subjects = np.sort(random.integers(0, groups, n))
        yield (random.random(n) < 0.3 + 0.4 * (subjects % 2)).astype(float), subjects
        yield random.normal(size=n), random.permutation(subjects).astype(str)
        yield np.ones(n), subjects


def test_the_clustered_error_is_that_of_statsmodels():
    for values, subjects in samples():
        codes = np.unique(subjects, return_inverse=True)[1]
        fit = sm.OLS(values, np.ones(len(values))).fit(
            cov_type="cluster", cov_kwds={"groups": codes}, use_t=False
        )
        # statsmodels multiplies by G / (G - 1) and by (n - 1) / (n - k), which is 1 for k = 1.
        found = float(statistics.clustered_standard_error(values, subjects))
        assert found == pytest.approx(fit.bse[0], abs=1e-12)


def test_the_stratified_error_is_the_textbooks():
    for values, subjects in samples():
        variance = 0.0
        for subject in np.unique(subjects):
            own = values[subjects == subject]
            spread = own.var(ddof=1) if len(own) > 1 else values.var(ddof=1)
            variance += (len(own) / len(values)) ** 2 * spread / len(own)
        found = float(statistics.stratified_standard_error(values, subjects))
        assert found == pytest.approx(math.sqrt(variance), abs=1e-12)


def test_missing_questions_are_left_out_and_rows_are_independent():
    values, subjects = next(iter(samples()))
    with_gaps = values.copy()
    with_gaps[[0, 5]] = np.nan
    kept = np.delete(values, [0, 5]), np.delete(subjects, [0, 5])
    for error in (statistics.clustered_standard_error, statistics.stratified_standard_error):
        both = error([values, with_gaps, np.full(len(values), np.nan)], subjects)
        assert both[0] == pytest.approx(error(values, subjects), abs=1e-15)
        assert both[1] == pytest.approx(error(*kept), abs=1e-15)
        assert math.isnan(both[2])


def test_one_subject_is_no_sample_of_subjects():
    assert math.isnan(statistics.clustered_standard_error([0, 1, 1], ["a"] * 3))
    expected = np.std([0, 1, 1], ddof=1) / math.sqrt(3)
    found = statistics.stratified_standard_error([0, 1, 1], ["a"] * 3)
    assert found == pytest.approx(expected, abs=1e-15)


def test_the_factor_of_a_subset():
    assert float(statistics.finite_population_factor(132, 1320)) == pytest.approx(
        math.sqrt(0.9), abs=1e-15
    )
    assert statistics.finite_population_factor(132, math.inf) == 1
    assert statistics.finite_population_factor(132, 132) == 0
