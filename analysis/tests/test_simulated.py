"""Whether the tests keep their promises, on sweeps whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from prune_sweep import comparison, statistics

LAYERS = 28


def sweep(random: np.random.Generator, n: int, p: float, noise: float, effect: float) -> np.ndarray:
    """Scores of a baseline and 28 variants [29, n]: questions have a difficulty of their own.

    ``noise`` is the share of a variant's answers that are drawn anew, so pairs are discordant
    for 2 noise p (1 - p) of the questions and more. The last variant loses ``effect``.
    """
    known = random.random(n) < p
    anew = random.random((LAYERS + 1, n)) < noise
    scores = np.where(anew, random.random((LAYERS + 1, n)) < p, known)
    # Only what is right can be lost: effect / p of it.
    lost = random.random(n) < effect / p
    scores[-1] &= ~lost
    return scores.astype(float)


def counts(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    differences = scores[1:] - scores[0]
    return (differences == -1).sum(axis=1), (differences == 1).sum(axis=1)


def p_values(losses: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """As comparison.compare_scores chooses them."""
    is_few = losses + gains < comparison.FEW_DISCORDANT
    exact, mid = statistics.mcnemar_exact(losses, gains), statistics.mcnemar_mid(losses, gains)
    return np.where(is_few, exact, mid)


def test_the_simulation_chooses_as_the_comparison_does():
    scores = sweep(np.random.default_rng(1), 132, 0.6, 0.3, 0.1)
    frame = comparison.compare_scores(scores[1:], scores[0], pd.Index([str(i) for i in range(28)]))
    np.testing.assert_allclose(frame["p_value"], p_values(*counts(scores)), atol=1e-15)
    np.testing.assert_allclose(frame["p_holm"], statistics.holm(frame["p_value"]), atol=1e-15)


@pytest.mark.parametrize(
    ("n", "p", "noise"), [(132, 0.08, 0.5), (132, 0.5, 0.3), (1404, 0.45, 0.2)]
)
def test_family_wise_error_of_a_sweep_without_effect(n, p, noise, soak_or_quick):
    """2,000 sweeps of 28 variants, none of which differs: Holm may err in 5 % of them."""
    num_sweeps = 2_000
    random = np.random.default_rng(17)
    num_flips = 999 if soak_or_quick else 199
    num_max_t = 2_000 if soak_or_quick else 150
    holm_errs = max_t_errs = 0
    for i in range(num_sweeps):
        scores = sweep(random, n, p, noise, 0)
        holm_errs += bool((statistics.holm(p_values(*counts(scores))) <= 0.05).any())
        if i < num_max_t:
            found = statistics.max_t(scores[1:] - scores[0], num_flips=num_flips, seed=i)[1]
            max_t_errs += bool((found <= 0.05).any())
    print(f"family-wise error at n={n}, p={p}: Holm {holm_errs / num_sweeps:.4f} of {num_sweeps}, "
          f"max-T {max_t_errs / num_max_t:.4f} of {num_max_t}")  # fmt: skip
    for errors, total in ((holm_errs, num_sweeps), (max_t_errs, num_max_t)):
        assert errors / total <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / total)


@pytest.mark.parametrize(("n", "noise"), [(132, 0.1), (132, 0.25), (1319, 0.05), (1319, 0.25)])
def test_power_beside_the_minimum_detectable_difference(n, noise, soak_or_quick):
    """One layer of 28 is 10 points worse; and where power reaches 80 % is the promised place."""
    p, effect = 0.5, 0.10
    random = np.random.default_rng(23)
    num_sweeps = 4_000 if soak_or_quick else 1_000

    def truth(effect):
        """Shares lost and gained of the last variant, exactly."""
        change = (1 - (1 - noise) ** 2) * p * (1 - p)
        # A pair agrees on `right` with p - change; the loss takes its part of both.
        share = effect / p
        return change + (p - change) * share, change * (1 - share)

    for alpha in (0.05, 0.05 / LAYERS):
        lost, gained = truth(effect)
        predicted = statistics.mcnemar_power(n, lost, gained, alpha)
        found = 0
        for _ in range(num_sweeps):
            losses, gains = counts(sweep(random, n, p, noise, effect)[[0, -1]])
            found += int(statistics.mcnemar_mid(losses, gains)[0] <= alpha)
        simulated = found / num_sweeps
        # The difference that the formula promises to be found in four of five sweeps.
        mdd, share = math.nan, sum(truth(effect))
        for _ in range(50):
            mdd = float(statistics.minimum_detectable_difference(n, share, alpha))
            if math.isnan(mdd):
                mdd = float(statistics.smallest_detectable_loss(n, alpha))
            share = sum(truth(min(mdd, p)))
        reached = next(
            d / 1000
            for d in range(5, 500)
            if statistics.mcnemar_power(n, *truth(d / 1000), alpha) >= statistics.power.POWER
        )
        print(f"n={n}, discordant {lost + gained:.2f}, alpha={alpha:.4f}: power at 10 points "
              f"{simulated:.3f} simulated, {predicted:.3f} computed; 80 % is reached at "
              f"{100 * reached:.1f} points, promised at {100 * mdd:.1f}")  # fmt: skip
        noise_of_simulation = 4 * math.sqrt(0.25 / num_sweeps)
        assert simulated == pytest.approx(predicted, abs=max(0.03, noise_of_simulation))
        assert reached == pytest.approx(mdd, abs=0.03)
