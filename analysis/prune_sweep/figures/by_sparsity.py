"""Figure 2: accuracy by percent of the weights pruned."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import PercentFormatter

from prune_sweep import published
from prune_sweep.figures.figure import INK, MARKERS, SERIES, Figure, Mark, new_drawing, style
from prune_sweep.run import Run


def sparsity_curves(run: Run) -> Figure | None:
    """A curve for each score, with intervals, and the closest one that never rises."""
    studies = [study for study in run.studies if study.trend is not None]
    if not studies:
        return None
    drawing, (panel,) = new_drawing(1, 4.2)
    marks: dict[str, Mark] = {}
    with style():
        looks = zip(studies, SERIES, MARKERS, (-0.6, 0.0, 0.6, 1.2, -1.2), strict=False)
        for study, color, marker, shift in looks:
            assert study.trend is not None
            levels = study.trend.levels
            rows = study.accuracy.loc[levels.index]
            x = levels["percent"].to_numpy(float) + shift
            panel.vlines(x, rows["low"], rows["high"], color=color, linewidth=1.6, alpha=0.6)
            panel.step(x, levels["isotonic"], color=color, alpha=0.35, linewidth=3, where="mid")
            label = f"{study.label} (n = {int(np.median(rows['num_questions']))})"
            panel.plot(x, rows["accuracy"], marker=marker, color=color, label=label)
            for name, at in zip(levels.index, x, strict=True):
                gid = f"level-{study.key}-{name}"
                row = rows.loc[name]
                panel.plot([at], [row["accuracy"]], marker=marker, color=color, gid=gid)
                marks[gid] = Mark(
                    f"{study.label}, {name}: {row['accuracy']:.3f} "
                    f"[{row['low']:.3f}, {row['high']:.3f}]",
                    str(name),
                )
        if "gsm8k" in run.benchmarks:
            report = published.gsm8k_series("percent")
            is_same = published.is_same_model(run.attributes)
            label = "published report, GSM8K" + ("" if is_same else " (another model)")
            panel.plot(
                list(report), list(report.values()), "x--", color=INK, alpha=0.6, label=label
            )
        panel.set_xlabel("weights pruned in every layer, %")
        panel.set_ylabel("accuracy, %")
        panel.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
        panel.set_ylim(-0.03, 1.03)
        panel.legend(loc="upper right")
    return Figure(
        "sparsity-curves",
        "Figure 2: accuracy by percent of the weights pruned",
        "Accuracy with the smallest weights of every layer set to zero, with Wilson's 95 % "
        "interval. The pale steps are the closest curve that never rises (isotonic regression).",
        drawing,
        marks,
    )
