"""Which layer is worst, and how sure that is."""

from __future__ import annotations

from matplotlib.axes import Axes

from prune_sweep.comparison import percent
from prune_sweep.figures.figure import BLUE, INK, ORANGE, Figure, Mark, new_drawing, style
from prune_sweep.run import Run
from prune_sweep.study import Study


def rank_plot(run: Run) -> Figure | None:
    """Rank intervals of the dropped layers, one panel for each headline score."""
    studies = [
        study
        for study in run.studies
        if study.score == study.benchmark.headline and len(study.layer_ranks) > 1
    ]
    if not studies:
        return None
    size = max(len(study.layer_ranks) for study in studies)
    drawing, axes = new_drawing(len(studies), 0.9 + 0.17 * size)
    marks: dict[str, Mark] = {}
    with style():
        for panel, study in zip(axes, studies, strict=True):
            _draw(panel, study, marks)
    return Figure(
        "ranks",
        "Ranks of the dropped layers",
        "Rank of each layer by the accuracy without it, 1 is the worst, with the 95 % interval of "
        "2,000 resamples of the questions. Long lines are layers that these questions cannot "
        "order. The percentage is the probability of being the worst layer.",
        drawing,
        marks,
    )


def _draw(panel: Axes, study: Study, marks: dict[str, Mark]) -> None:
    ranks = study.layer_ranks.sort_values(["rank", "worst"], ascending=[False, True])
    panel.grid(visible=True, axis="x")
    panel.grid(visible=False, axis="y")
    for place, (name, row) in enumerate(ranks.iterrows()):
        color = ORANGE if row["worst"] >= 0.005 else BLUE
        gid = f"rank-{study.key}-{name}"
        panel.hlines(place, row["low"], row["high"], color=color, linewidth=2.2, alpha=0.6)
        panel.plot([row["rank"]], [place], "o", color=color, markersize=5, gid=gid)
        if row["worst"] >= 0.005:
            text = f" {percent(row['worst'])}"
            panel.text(row["high"] + 0.2, place, text, va="center", fontsize=7.5, color=INK)
        marks[gid] = Mark(
            f"{study.label}, {name}: rank {row['rank']:g} [{row['low']:g}, {row['high']:g}], "
            f"worst with {percent(row['worst'])}",
            str(name),
        )
    panel.set_yticks(range(len(ranks)), [str(name) for name in ranks.index], fontsize=7)
    panel.set_ylim(-0.8, len(ranks) - 0.2)
    panel.set_xlabel("rank, 1 is the worst")
    panel.set_title(f"{study.label} (n = {int(ranks['num_questions'].iloc[0])})")
