"""Maps of many cells: layers by subjects, variants by questions, variants by variants."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from prune_sweep.figures.figure import Figure, Image, new_drawing, shortened, style
from prune_sweep.run import Run
from prune_sweep.statistics.proportion import Floats, ratio
from prune_sweep.study import Study
from prune_sweep.variants import BASELINE, Role

#: More rows than this are not drawn: the map of 10,000 variants would be a grey square.
MAX_ROWS = 120


def subject_map(run: Run) -> Figure | None:
    """Change of accuracy by subject and dropped layer."""
    for study in run.studies:
        drops = [str(name) for name in study.with_role(Role.DROP)]
        if drops and study.benchmark.subjects is not None:
            return _subject_map(study, drops[:MAX_ROWS])
    return None


def question_map(run: Run) -> Figure | None:
    """Which variant has which question right, easy questions first."""
    studies = [s for s in run.studies if s.score == s.benchmark.headline]
    studies = [s for s in studies if s.scores.size]
    if not studies:
        return None
    num_rows = min(len(run.variants), MAX_ROWS)
    drawing, axes = new_drawing(len(studies), 0.9 + 0.11 * num_rows)
    with style():
        for panel, study in zip(axes, studies, strict=True):
            _draw_questions(panel, study, num_rows)
    return Figure(
        "questions",
        "Questions by variants",
        "Each column is a question, the easiest (right in most variants) to the left; each row a "
        "variant, in the order of the archive. Dark is right, light is wrong, white was not "
        "evaluated. Rows that break up to the left lose what all others know.",
        drawing,
    )


def flip_matrix(run: Run) -> Figure | None:
    """Share of questions that change between right and wrong, for every pair of variants."""
    studies = [s for s in run.studies if s.score == s.benchmark.headline and s.scores.size]
    if not studies or len(run.variants) < 2:
        return None
    size = min(len(run.variants), MAX_ROWS)
    drawing, axes = new_drawing(len(studies), 1.2 + 0.13 * size, width=2.2 + 0.15 * size)
    images = {}
    with style():
        for panel, study in zip(axes, studies, strict=True):
            names = [str(name) for name in study.benchmark.variants[:size]]
            shares = 100 * _flips(study.scores[:size])
            gid = f"flips-{study.key}"
            image = panel.imshow(shares, cmap="cividis", vmin=0, gid=gid, interpolation="none")
            _label(panel, names, names)
            panel.set_title(f"{study.label} (n = {study.scores.shape[1]})")
            _add_bar(panel, image, "questions that flip, %")
            images[gid] = Image(names, names, "% of the questions flip", _cells(shares))
    return Figure(
        "flips",
        "Flips between variants",
        "Share of questions that one of two variants has right and the other wrong. Two variants "
        "of the same accuracy may still disagree on many questions.",
        drawing,
        images=images,
    )


def _subject_map(study: Study, names: list[str]) -> Figure:
    subjects = study.benchmark.subjects
    assert subjects is not None
    listed = sorted(set(subjects))
    base = study.scores[study.benchmark.row(BASELINE)]
    rows = [study.benchmark.row(name) for name in names]
    differences = 100 * (study.scores[rows] - base)
    cells = np.empty((len(listed), len(names)))
    for i, subject in enumerate(listed):
        own = differences[:, subjects == subject]
        is_there = ~np.isnan(own)
        cells[i] = ratio(np.where(is_there, own, 0).sum(axis=1), is_there.sum(axis=1))
    largest = max(float(np.nanmax(np.abs(cells), initial=1)), 1)
    labels = [f"{shortened(s, 34)} ({int((subjects == s).sum())})" for s in listed]
    drawing, (panel,) = new_drawing(1, 1.4 + 0.19 * len(listed), width=3.6 + 0.19 * len(names))
    with style():
        image = panel.imshow(
            cells, cmap="PuOr", vmin=-largest, vmax=largest, aspect="auto", gid="subjects"
        )
        _label(panel, labels, [name.removeprefix("drop-") for name in names])
        panel.set_xlabel("dropped layer")
        panel.set_title(f"{study.label}: change of accuracy by subject")
        _add_bar(panel, image, "difference, points")
    return Figure(
        "layers-by-subject",
        "Layers by subjects",
        "Difference of the accuracy to the baseline, by subject (number of questions) and dropped "
        "layer. Brown is worse, purple is better. A subject of few questions moves in large steps.",
        drawing,
        images={"subjects": Image(labels, names, "points", _cells(cells))},
    )


def _draw_questions(panel: Axes, study: Study, num_rows: int) -> None:
    scores = study.scores
    difficulty = np.nan_to_num(scores).sum(axis=0)
    order = np.argsort(-difficulty, kind="stable")
    shown = np.where(np.isnan(scores), 0, 1 + scores)[:num_rows, order]
    colors = ListedColormap(["#ffffff", "#c9d3dc", "#14507a"])
    panel.imshow(shown, cmap=colors, vmin=0, vmax=2, aspect="auto", interpolation="none")
    names = [shortened(str(name), 24) for name in study.benchmark.variants[:num_rows]]
    panel.set_yticks(range(num_rows), names, fontsize=6)
    panel.grid(visible=False)
    panel.set_xlabel("question, from easy to hard")
    panel.set_title(f"{study.label} (n = {scores.shape[1]})")


def _flips(scores: Floats) -> Floats:
    is_there = ~np.isnan(scores)
    right, wrong = (scores == 1).astype(float), (is_there & (scores == 0)).astype(float)
    disagree = right @ wrong.T
    both = is_there.astype(float) @ is_there.astype(float).T
    return ratio(disagree + disagree.T, both)


def _add_bar(panel: Axes, image: Any, label: str) -> None:
    """A colour bar beside the panel."""
    bar: Any = panel.figure.colorbar(image, ax=panel, shrink=0.8, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)


def _label(panel: Axes, rows: list[str], columns: list[str]) -> None:
    panel.grid(visible=False)
    panel.set_yticks(range(len(rows)), [shortened(row) for row in rows], fontsize=6.5)
    panel.set_xticks(range(len(columns)), [shortened(c) for c in columns], fontsize=6.5)
    panel.tick_params(axis="x", rotation=90)


def _cells(values: Floats) -> list[list[float | None]]:
    return [[None if np.isnan(cell) else round(float(cell), 1) for cell in row] for row in values]
