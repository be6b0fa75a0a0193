"""Figures of a run. Each is a function from a run to a figure, or to None without its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prune_sweep.figures.by_layer import accuracy_by_layer
from prune_sweep.figures.by_sparsity import sparsity_curves
from prune_sweep.figures.figure import FORMATS, Figure, Mark, save
from prune_sweep.figures.maps import flip_matrix, question_map, subject_map
from prune_sweep.figures.ranks import rank_plot
from prune_sweep.figures.timeline import timeline
from prune_sweep.run import Run

#: By name, in the order in which they are shown.
FIGURES: Mapping[str, Callable[[Run], Figure | None]] = {
    "accuracy-by-layer": accuracy_by_layer,
    "sparsity-curves": sparsity_curves,
    "ranks": rank_plot,
    "layers-by-subject": subject_map,
    "questions": question_map,
    "flips": flip_matrix,
    "timeline": timeline,
}

__all__ = ["FIGURES", "FORMATS", "Figure", "Mark", "save"]
