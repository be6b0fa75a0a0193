from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from prune_sweep import statistics

from . import sample


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
