from __future__ import annotations

import math

import numpy as np
from scipy.special import softmax
from scipy.stats import entropy

from prune_sweep import statistics


def test_kl_is_scipys_entropy_of_the_shares():
    random = np.random.default_rng(9)
    reference = -10 * random.random((6, 20, 4))
    variant = -10 * random.random((6, 20, 4))
    expected = entropy(softmax(reference, axis=-1), softmax(variant, axis=-1), axis=-1)
    found = statistics.kl_divergence(reference, variant)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        statistics.choice_probabilities(variant), softmax(variant, axis=-1), atol=1e-14
    )


def test_a_variant_is_no_distance_from_itself():
    values = np.float32([[-1.5, -20, -3, -700], [-1, -1, -1, -1]])
    assert (statistics.kl_divergence(values, values) == 0).all()
    # A constant added to all choices changes no share.
    assert (statistics.kl_divergence(values, values - 5) < 1e-6).all()


def test_what_is_missing_has_no_distance():
    found = statistics.kl_divergence([[math.nan] * 4, [0.0] * 4], [[0.0] * 4, [-math.inf] * 4])
    assert np.isnan(found).all()
