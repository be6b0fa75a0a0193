"""Formulas, on NumPy arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def accuracy(num_correct: npt.ArrayLike, num_questions: npt.ArrayLike) -> Floats:
    """Share of correct answers; NaN of no questions."""
    return _ratio(np.asarray(num_correct, float), np.asarray(num_questions, float))


def standard_error(num_correct: npt.ArrayLike, num_questions: npt.ArrayLike) -> Floats:
    """Standard error of an accuracy p of n questions: sqrt(p (1 - p) / (n - 1)).

    This is the sample standard deviation of n zeros and ones over sqrt(n), as
    lm-evaluation-harness has it; NaN below two questions.
    """
    questions = np.asarray(num_questions, float)
    share = accuracy(num_correct, questions)
    return np.sqrt(_ratio(share * (1 - share), questions - 1))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Quotient, NaN where the divisor is not positive."""
    result: Floats = np.full(np.broadcast(top, bottom).shape, np.nan)
    np.divide(top, bottom, out=result, where=bottom > 0)
    return result
