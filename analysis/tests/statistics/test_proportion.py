from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binomtest, norm
from statsmodels.stats.proportion import proportion_confint

from prune_sweep import statistics

from .. import sample


def test_accuracy_and_standard_error_are_those_of_the_zeros_and_ones():
    random = np.random.default_rng(2)
    for n, p in itertools.product((2, 3, 10, 132, 1319), (0.0, 0.08, 0.5, 1.0)):
        scores = (random.random(n) < p).astype(float)
        assert statistics.accuracy(scores.sum(), n) == pytest.approx(scores.mean(), abs=1e-15)
        expected = scores.std(ddof=1) / math.sqrt(n)
        assert statistics.standard_error(scores.sum(), n) == pytest.approx(expected, abs=1e-15)


def test_the_harness_example_of_four_in_ten():
    assert round(float(statistics.standard_error(4, 10)), 4) == 0.1633


def test_too_few_questions_have_no_numbers():
    assert math.isnan(statistics.accuracy(0, 0))
    assert math.isnan(statistics.standard_error(0, 0))
    assert statistics.accuracy(1, 1) == 1
    assert math.isnan(statistics.standard_error(1, 1))


def test_a_table_counts_what_was_evaluated(sample_run):
    cases = [
        ("mmlu", "correct", sample.mmlu_correct),
        ("gsm8k", "strict_correct", lambda v, q: sample.gsm8k(v, q)["strict_correct"]),
        ("gsm8k", "flexible_correct", lambda v, q: sample.gsm8k(v, q)["flexible_correct"]),
    ]
    for name, score, value in cases:
        benchmark = sample_run.benchmarks[name]
        table = benchmark.table(score)
        assert list(table.index) == sample.VARIANTS
        for variant, row in enumerate(table.itertuples()):
            scores = [
                value(variant, question)
                for question in range(benchmark.num_questions)
                if not sample.is_missing(name, variant, question)
            ]
            assert (row.num_correct, row.num_questions) == (sum(scores), len(scores))
            if not scores:
                assert math.isnan(row.accuracy)
                assert math.isnan(row.standard_error)
                continue
            assert row.accuracy == pytest.approx(np.mean(scores), abs=1e-15)
            expected = np.std(scores, ddof=1) / math.sqrt(len(scores))
            assert row.standard_error == pytest.approx(expected, abs=1e-15)


def test_the_headline_of_generated_answers_is_strict(sample_run):
    assert sample_run.gsm8k.scores == ("strict_correct", "flexible_correct")
    assert sample_run.gsm8k.table().equals(sample_run.gsm8k.table("strict_correct"))


COUNTS = [(k, n) for n in (1, 2, 5, 12, 132, 1404) for k in {0, 1, n // 3, n // 2, n - 1, n}]


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_wilson_is_that_of_statsmodels_and_scipy(confidence):
    counts = np.array(COUNTS)
    low, high = statistics.wilson_interval(*counts.T, confidence)
    expected = proportion_confint(*counts.T, alpha=1 - confidence, method="wilson")
    np.testing.assert_allclose(low, expected[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(high, expected[1], rtol=0, atol=1e-12)
    for (k, n), *ends in zip(COUNTS, low, high, strict=True):
        found = binomtest(k, n).proportion_ci(confidence, method="wilson")
        assert ends == pytest.approx(list(found), abs=1e-12)


def test_wilson_in_the_reference_values():
    low, high = statistics.wilson_interval([0, 11, 50, 66, 0, 632], [132] * 4 + [1404] * 2)
    assert list(np.round(100 * low, 1)) == [0, 4.7, 30.1, 41.6, 0, 42.4]
    assert list(np.round(100 * high, 1)) == [2.8, 14.3, 46.4, 58.4, 0.3, 47.6]


def test_wilson_of_a_subset_solves_its_equation():
    """The ends are where |p - x| is z standard errors at x, shrunk by (N - n) / (N - 1)."""
    z = norm.ppf(0.975)
    for k, n, total in [(11, 132, 1319), (40, 132, 200), (3, 10, 11), (700, 1404, 14042)]:
        low, high = statistics.wilson_interval(k, n, population=total)
        shrink = (total - n) / (total - 1)

        def excess(x, k=k, n=n, shrink=shrink):
            return (k / n - x) ** 2 - z**2 * x * (1 - x) / n * shrink

        assert float(low) == pytest.approx(brentq(excess, 0, k / n, xtol=1e-15), abs=1e-12)
        assert float(high) == pytest.approx(brentq(excess, k / n, 1, xtol=1e-15), abs=1e-12)
    assert statistics.wilson_interval(3, 10, population=10) == (0.3, 0.3)


def test_wilson_of_no_questions_is_no_number():
    assert all(math.isnan(end) for end in statistics.wilson_interval(0, 0))
