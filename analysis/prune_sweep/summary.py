"""What the tests say, in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from prune_sweep import measures
from prune_sweep.comparison import ALPHA, percent, points
from prune_sweep.run import Run
from prune_sweep.study import Study
from prune_sweep.table import p_text
from prune_sweep.variants import BASELINE, Role, layers_text

#: Names listed in a sentence before it says how many more there are.
_MAX_NAMES = 12


def sentences(study: Study) -> list[str]:
    """Say what can be told about a score, and what cannot."""
    said = [_baseline(study)]
    if len(study.tested):
        said += [*_layers(study), *_levels(study), *_others(study), _limits(study)]
    said += [*_noise(study)]
    return [sentence for sentence in said if sentence]


def flags(run: Run) -> list[str]:
    """Say what a reader has to know before believing any number."""
    said = []
    if not run.is_complete:
        missing = run.missing
        variants = missing.index.get_level_values("variant").nunique()
        said.append(
            f"The run is partial: {int(missing['num_missing'].sum())} records of {variants} "
            "variants are missing. Numbers are of what was evaluated."
        )
    if len(run.quarantined):
        said.append(
            f"{len(run.quarantined)} questions are in quarantine: the evaluators that asked them "
            "failed."
        )
    for name, benchmark in run.benchmarks.items():
        odd = measures.odd_answers(benchmark)
        flagged = odd[odd["signs"] != ""]
        if BASELINE in flagged.index:
            signs = str(flagged.loc[BASELINE, "signs"]).replace(",", ", ")
            said.append(
                f"{name.upper()}: the baseline itself shows signs of a broken evaluation "
                f"({signs}). Do not believe its numbers before that is explained."
            )
        names = [str(n) for n in flagged.index if n != BASELINE]
        if names:
            said.append(
                f"{name.upper()}: odd answers in {_listed(names)}; the table of odd answers has "
                "the shares."
            )
    return said


def _baseline(study: Study) -> str:
    row: Any = study.accuracy.loc[study.reference]
    if not row["num_questions"]:
        return f"The {study.reference} was not evaluated."
    return (
        f"The {study.reference} has {percent(row['accuracy'])} right "
        f"({int(row['num_correct'])} of {int(row['num_questions'])}; 95 % interval "
        f"{percent(row['low'])} to {percent(row['high'])})."
    )


def _layers(study: Study) -> list[str]:
    drops = [name for name in study.tested if study.kinds.loc[name, "role"] == Role.DROP]
    rows = study.comparisons.loc[drops]
    said = []
    worse = rows[rows["verdict"] == "worse"]
    if len(worse):
        most = str(worse["difference"].idxmin())
        said.append(
            f"Dropping {_layer_words(study, worse)} lowers accuracy; most of all layer "
            f"{_layer(study, most)}, by {points(-float(worse['difference'].min()))}."
        )
    better = rows[rows["verdict"] == "better"]
    if len(better):
        said.append(
            f"Dropping {_layer_words(study, better)} raises accuracy, and not by chance alone at "
            "this level; look at the answers before using it."
        )
    equal = rows[rows["verdict"] == "not distinguishable"]
    if len(equal):
        number = "any of " if len(equal) > 1 else ""
        said.append(
            f"Dropping {number}{_layer_words(study, equal)} is indistinguishable from the "
            "baseline at this size. That is not the same as harmless: the interval of their "
            f"differences reaches down to {points(float(equal['low'].min()), signed=True)}."
        )
    ranks = study.layer_ranks
    if len(ranks) > 1:
        said.append(_worst(study, ranks))
    return said


def _worst(study: Study, ranks: pd.DataFrame) -> str:
    first = ranks.sort_values("worst", ascending=False)
    most: Any = first.iloc[0]
    layer = study.kinds.loc[first.index[0], "layer"]
    rivals = first[(first["low"] <= 1.5) | (first["worst"] >= 0.025)]
    if len(rivals) <= 1 or most["worst"] >= 1 - ALPHA:
        return f"Layer {layer} is the worst with a probability of {percent(most['worst'])}."
    return (
        f"Which layer is the worst cannot be said: layer {layer} is with a probability of "
        f"{percent(most['worst'])}, and {_layer_words(study, rivals)} are in question."
    )


def _levels(study: Study) -> list[str]:
    trend = study.trend
    if trend is None:
        return []
    slope = 10 * trend.paired.slope
    if trend.paired.p_value > ALPHA:
        return [
            "No trend over the levels of pruning can be shown "
            f"(p = {p_text(trend.paired.p_value)})."
        ]
    way = "falls" if slope < 0 else "rises"
    said = (
        f"Accuracy {way} with pruning, by {points(abs(slope))} for each 10 % on average "
        f"(p = {p_text(trend.paired.p_value)})."
    )
    levels = [name for name in study.tested if study.kinds.loc[name, "role"] == Role.LEVEL]
    rows = study.comparisons.loc[levels]
    worse = rows[rows["verdict"] == "worse"]
    if len(worse):
        first = study.kinds.loc[worse.index, "percent"].min()
        said += f" The first level that can be told from the baseline is {first:g} %."
    else:
        said += " No single level can be told from the baseline."
    unordered = trend.steps[trend.steps["p_holm"] > ALPHA]
    pairs = [
        f"{_percent(study, str(row['reference']))} and {_percent(study, str(name))} %"
        for name, row in unordered.iterrows()
        if row["reference"] != BASELINE
    ]
    if pairs:
        said += f" Neighbours that cannot be ordered: {_listed(pairs)}."
    return [said]


def _others(study: Study) -> list[str]:
    others = [name for name in study.tested if study.kinds.loc[name, "role"] == Role.OTHER]
    rows = study.comparisons.loc[others]
    said = []
    for verdict, words in (("worse", "below"), ("better", "above")):
        found = rows[rows["verdict"] == verdict]
        if len(found):
            names = _listed([str(name) for name in found.index])
            said.append(f"Of the other variants these are {words} the baseline: {names}.")
    equal = rows[rows["verdict"] == "not distinguishable"]
    if len(equal):
        names = _listed([str(name) for name in equal.index])
        said.append(f"Indistinguishable from it at this size: {names}.")
    return said


def _limits(study: Study) -> str:
    found = study.detectable
    return (
        f"A difference below {points(found.alone)} (one comparison) or {points(found.in_family)} "
        f"(all {found.num_tests} together) would be missed more often than one time in five."
    )


def _noise(study: Study) -> list[str]:
    if study.repeats.empty:
        return []
    flips = float(np.nanmax(study.repeats["flips"]))
    copies = "copy" if len(study.repeats) == 1 else "copies"
    return [
        f"Noise floor: in {len(study.repeats)} {copies} of the baseline, computed once more, at "
        f"most {percent(flips)} of the questions flip."
    ]


def _layer(study: Study, name: str) -> int:
    return int(study.kinds["layer"][name])


def _percent(study: Study, name: str) -> str:
    return f"{float(study.kinds['percent'][name]):g}"


def _layer_words(study: Study, rows: pd.DataFrame) -> str:
    layers = [int(layer) for layer in study.kinds.loc[rows.index, "layer"]]
    return f"layer{'s' if len(layers) > 1 else ''} {layers_text(layers)}"


def _listed(names: list[str]) -> str:
    if len(names) > _MAX_NAMES:
        return f"{', '.join(names[:_MAX_NAMES])} and {len(names) - _MAX_NAMES} more"
    return ", ".join(names)
