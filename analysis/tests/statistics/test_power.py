from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import multinomial, norm

from prune_sweep import statistics

#: Percentage points by n, alpha and discordant share; nan is "not reachable".
SHARES = (0.05, 0.10, 0.15, 0.20, 0.30, 0.40)
nan = math.nan
REFERENCE = {
    (132, 0.05): (nan, 7.6, 9.4, 10.8, 13.2, 15.3),
    (132, 0.05 / 28): (nan, nan, 13.2, 15.2, 18.7, 21.6),
    (132, 0.05 / 37): (nan, nan, 13.5, 15.5, 19.0, 22.0),
    (1319, 0.05): (1.7, 2.4, 3.0, 3.4, 4.2, 4.9),
    (1319, 0.05 / 28): (2.4, 3.4, 4.2, 4.9, 6.0, 6.9),
    (1404, 0.05): (1.7, 2.4, 2.9, 3.3, 4.1, 4.7),
    (1404, 0.05 / 28): (2.4, 3.3, 4.1, 4.7, 5.8, 6.7),
    (1404, 0.05 / 37): (2.4, 3.4, 4.2, 4.8, 5.9, 6.8),
    (14042, 0.05 / 28): (0.7, 1.1, 1.3, 1.5, 1.8, 2.1),
}


@pytest.mark.parametrize(("n", "alpha"), REFERENCE)
def test_the_minimum_detectable_differences_of_the_reference_values(n, alpha):
    found = 100 * statistics.minimum_detectable_difference(n, SHARES, alpha)
    np.testing.assert_array_equal(np.round(found, 1), REFERENCE[n, alpha])


def test_the_minimum_detectable_difference_solves_connors_equation():
    for n in (20, 132, 1319):
        for share in (0.08, 0.3, 0.9):
            for alpha, power in ((0.05, 0.8), (0.002, 0.9)):
                za, zb = norm.isf(alpha / 2), norm.ppf(power)

                def missing(d, n=n, share=share, za=za, zb=zb):
                    return math.sqrt(n) * d - za * math.sqrt(share) - zb * math.sqrt(share - d * d)

                found = float(statistics.minimum_detectable_difference(n, share, alpha, power))
                top = min(share, math.sqrt(share))
                if missing(top) < 0:
                    assert math.isnan(found)
                else:
                    assert found == pytest.approx(brentq(missing, 0, top, xtol=1e-15), abs=1e-12)


def test_a_pure_loss_solves_the_same_equation():
    for n, alpha in [(20, 0.05), (132, 0.05), (132, 0.05 / 37), (14042, 0.05)]:
        found = float(statistics.smallest_detectable_loss(n, alpha))
        za, zb = norm.isf(alpha / 2), norm.ppf(0.8)
        assert n * found == pytest.approx((za + zb * math.sqrt(1 - found)) ** 2, abs=1e-9)
        # At just this discordant share the general formula reaches its end.
        reached = statistics.minimum_detectable_difference(n, found * (1 + 1e-9), alpha)
        assert float(reached) == pytest.approx(found, abs=1e-6)
    assert math.isnan(statistics.smallest_detectable_loss(3, 0.05 / 37))


def test_questions_needed_for_three_points():
    assert statistics.num_questions_needed(0.03, 0.1) == pytest.approx(870, abs=1)
    assert statistics.num_questions_needed(0.03, 0.2) == pytest.approx(1742, abs=1)


@pytest.mark.parametrize("n", [1, 6, 14])
def test_power_is_the_sum_over_all_outcomes(n):
    outcomes = np.array([(b, c, n - b - c) for b in range(n + 1) for c in range(n + 1 - b)])
    p_values = statistics.mcnemar_mid(outcomes[:, 0], outcomes[:, 1])
    for lost, gained, alpha in [(0.4, 0.1, 0.05), (0.3, 0.3, 0.2), (0.5, 0.0, 0.05), (0, 0.2, 0.5)]:
        chances = multinomial.pmf(outcomes, n, [lost, gained, 1 - lost - gained])
        expected = chances[p_values <= alpha].sum()
        assert statistics.mcnemar_power(n, lost, gained, alpha) == pytest.approx(
            expected, abs=1e-12
        )


def test_power_at_the_minimum_detectable_difference_is_that_promised():
    for n, share in [(132, 0.2), (1319, 0.1), (1319, 0.3)]:
        d = float(statistics.minimum_detectable_difference(n, share))
        power = statistics.mcnemar_power(n, (share + d) / 2, (share - d) / 2)
        assert power == pytest.approx(0.8, abs=0.03)
    assert statistics.mcnemar_power(100, 0, 0) == 0
