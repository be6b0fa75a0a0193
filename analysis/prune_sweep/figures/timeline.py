"""How the run went: units by rank, and how many ranks were busy."""

from __future__ import annotations

import numpy as np
import pandas as pd

from prune_sweep.figures.figure import BLUE, MUTED, ORANGE, Figure, new_drawing, style
from prune_sweep.run import Run


def timeline(run: Run) -> Figure | None:
    """A bar for each attempt at a unit, and the share of ranks at work below it."""
    units = run.units
    if units.empty or not (units["elapsed_s"] > 0).any():
        return None
    ranks = sorted(set(units["rank"]))
    drawing, (bars, load) = new_drawing(
        2, 1, sharex=True, height_ratios=[max(1.0, 0.4 * len(ranks)), 1]
    )
    drawing.set_size_inches(8, 2.4 + 0.25 * len(ranks))
    with style():
        is_done = (units["outcome"] == "committed").to_numpy()
        for part, color, label in ((is_done, BLUE, "committed"), (~is_done, ORANGE, "lost")):
            rows = units[part]
            if rows.empty:
                continue
            places = [ranks.index(rank) for rank in rows["rank"]]
            bars.barh(
                places,
                rows["elapsed_s"],
                left=rows["started_s"],
                height=0.75,
                color=color,
                edgecolor="white",
                linewidth=0.5,
                label=label,
            )
        bars.set_yticks(range(len(ranks)), [f"rank {rank}" for rank in ranks], fontsize=7)
        bars.invert_yaxis()
        bars.grid(visible=True, axis="x")
        bars.grid(visible=False, axis="y")
        bars.set_title("Attempts at units")
        if not is_done.all():
            bars.legend(ncol=2, loc="lower right", bbox_to_anchor=(1, 1))
        times, busy = _busy(units)
        load.fill_between(times, 100 * busy / len(ranks), step="post", color=MUTED, alpha=0.4)
        load.set_ylim(0, 105)
        load.set_ylabel("ranks at work, %")
        load.set_xlabel("time since the first start, s")
        span = float(times[-1] - times[0])
        share = float((busy[:-1] * np.diff(times)).sum()) / (span * len(ranks)) if span > 0 else 1
        load.set_title(f"Utilisation {100 * share:.0f} %")
    return Figure(
        "timeline",
        "How the run went",
        f"{len(units)} attempts at units of work on {len(ranks)} ranks in {span:.0f} s; "
        f"{100 * share:.0f} % of the ranks' time was spent on them.",
        drawing,
    )


def _busy(units: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Times at which the number of ranks at work changes, and the number from then on."""
    starts = units["started_s"].to_numpy(float)
    ends = starts + units["elapsed_s"].to_numpy(float)
    times = np.concatenate([starts, ends])
    steps = np.concatenate([np.ones(len(units)), -np.ones(len(units))])
    order = np.argsort(times, kind="stable")
    return times[order], np.cumsum(steps[order])
