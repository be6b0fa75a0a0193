"""Figure 1: accuracy by dropped layer, with intervals and the baseline's band."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from prune_sweep import published
from prune_sweep.comparison import ALPHA
from prune_sweep.figures.figure import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    Figure,
    Mark,
    new_drawing,
    style,
)
from prune_sweep.run import Run
from prune_sweep.study import Study
from prune_sweep.table import p_text
from prune_sweep.variants import BASELINE, Role


def accuracy_by_layer(run: Run) -> Figure | None:
    """One panel for each score."""
    drops = run.kinds.index[run.kinds["role"] == Role.DROP]
    studies = [study for study in run.studies if len(drops)]
    if not studies:
        return None
    drawing, axes = new_drawing(len(studies), 2.5, sharex=True)
    marks: dict[str, Mark] = {}
    with style():
        for panel, study in zip(axes, studies, strict=True):
            _draw(panel, study, published.is_same_model(run.attributes), marks)
        axes[-1].set_xlabel("dropped layer")
        named: dict[str, Any] = {}
        for panel in axes:
            handles, labels = panel.get_legend_handles_labels()
            named |= dict(zip(labels, handles, strict=True))
        drawing.legend(list(named.values()), list(named), loc="outside upper left", ncol=3)
    return Figure(
        "accuracy-by-layer",
        "Figure 1: accuracy by dropped layer",
        "Accuracy without one layer, with Wilson's 95 % interval. The band is the baseline's "
        "interval. Filled marks differ from the baseline by Holm's test at 0.05, open ones cannot "
        "be told from it at this number of questions. Crosses are the published report.",
        drawing,
        marks,
    )


def _draw(panel: Axes, study: Study, is_same_model: bool, marks: dict[str, Mark]) -> None:
    names = [str(name) for name in study.with_role(Role.DROP)]
    layers = study.kinds.loc[names, "layer"].astype(int).to_numpy()
    table, tests = study.accuracy, study.comparisons
    base: Any = table.loc[BASELINE]
    panel.axhspan(base["low"], base["high"], color=MUTED, alpha=0.18, linewidth=0)
    panel.axhline(base["accuracy"], color=MUTED, linewidth=1.2, label="baseline, with interval")
    for layer, name in zip(layers, names, strict=True):
        row: Any = table.loc[name]
        test: Any = tests.loc[name]
        if np.isnan(row["accuracy"]):
            continue
        is_found = bool(test["p_holm"] <= ALPHA)
        color = ORANGE if is_found else BLUE
        gid = f"{study.key}-{name}"
        panel.vlines(layer, row["low"], row["high"], color=color, linewidth=1.6, alpha=0.75)
        panel.plot(
            [layer],
            [row["accuracy"]],
            marker="o" if is_found else "s",
            markersize=6,
            color=color,
            markerfacecolor=color if is_found else PAPER,
            markeredgewidth=1.4,
            gid=gid,
        )
        marks[gid] = Mark(
            f"{study.label}, {name}: {row['accuracy']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}], "
            f"{100 * test['difference']:+.1f} points, p Holm {p_text(test['p_holm'])}, "
            f"{test['verdict']}",
            name,
        )
    panel.plot([], [], "o", color=ORANGE, label="differs from the baseline")
    panel.plot([], [], "s", color=BLUE, markerfacecolor=PAPER, label="not distinguishable")
    if study.benchmark.name == "gsm8k":
        report = published.gsm8k_series("layer")
        shown = [float(layer) for layer in layers if float(layer) in report]
        label = "published report" + ("" if is_same_model else " (another model)")
        numbers = [report[layer] for layer in shown]
        panel.plot(shown, numbers, "x", color=INK, alpha=0.6, markersize=5, label=label)
    if study.benchmark.kind == "multiple-choice":
        panel.axhline(0.25, color=MUTED, linewidth=0.9, linestyle=":", label="guessing")
    panel.set_title(f"{study.label} (n = {int(base['num_questions'])})")
    panel.set_ylabel("accuracy, %")
    panel.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    panel.set_ylim(-0.03, 1.03)
    if len(layers) <= 40:
        panel.set_xticks(layers)
