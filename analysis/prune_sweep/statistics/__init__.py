"""Formulas, on NumPy arrays. Nothing here knows archives, variants or benchmarks.

A score matrix is ``[variant, question]``. Paired counts are ``losses`` (questions that the
reference has right and the variant wrong) and ``gains`` (the other way round) of
``num_questions``. All intervals and tests are two-sided.
"""

from prune_sweep.statistics.cluster import (
    clustered_standard_error,
    finite_population_factor,
    stratified_standard_error,
)
from prune_sweep.statistics.distance import (
    choice_probabilities,
    kl_divergence,
)
from prune_sweep.statistics.multiplicity import benjamini_hochberg, holm, max_t
from prune_sweep.statistics.paired import (
    bootstrap_interval,
    mcnemar_exact,
    mcnemar_mid,
    paired_standard_error,
    score_interval,
)
from prune_sweep.statistics.power import (
    mcnemar_power,
    minimum_detectable_difference,
    num_questions_needed,
    smallest_detectable_loss,
)
from prune_sweep.statistics.proportion import (
    accuracy,
    standard_error,
    wilson_interval,
)
from prune_sweep.statistics.ranks import Ranks, bootstrap_ranks
from prune_sweep.statistics.trend import (
    Trend,
    cochran_armitage,
    isotonic_fit,
    paired_trend,
)

__all__ = [
    "Ranks",
    "Trend",
    "accuracy",
    "benjamini_hochberg",
    "bootstrap_interval",
    "bootstrap_ranks",
    "choice_probabilities",
    "clustered_standard_error",
    "cochran_armitage",
    "finite_population_factor",
    "holm",
    "isotonic_fit",
    "kl_divergence",
    "max_t",
    "mcnemar_exact",
    "mcnemar_mid",
    "mcnemar_power",
    "minimum_detectable_difference",
    "num_questions_needed",
    "paired_standard_error",
    "paired_trend",
    "score_interval",
    "smallest_detectable_loss",
    "standard_error",
    "stratified_standard_error",
    "wilson_interval",
]
