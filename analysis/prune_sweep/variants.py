"""What a variant is to the analysis: the baseline, a dropped layer, a level of pruning, other."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

import pandas as pd

BASELINE = "baseline"
#: Copies of the baseline that a job asks for with repeat-baseline are BASELINE-repeat-N.
_REPEAT = re.compile(rf"{BASELINE}-repeat-\d+")


class Role(enum.Enum):
    """What a variant is compared as."""

    BASELINE = "baseline"
    REPEAT = "repeat"  #: the baseline computed once more: its difference is noise
    SAME = "same"  #: the baseline's own records under another name: no test
    DROP = "drop"  #: one layer dropped
    LEVEL = "level"  #: all layers pruned by magnitude to one percentage
    OTHER = "other"


@dataclass(frozen=True)
class Kind:
    """A variant's role, with the layer or the percentage that goes with it."""

    role: Role
    layer: int | None = None
    percent: float | None = None


def kind_of(name: str, edits: str, num_layers: int) -> Kind:
    """Read a variant's canonical edits, as `3 drop, 9-12 magnitude 50`."""
    if name == BASELINE:
        return Kind(Role.BASELINE)
    if not edits:
        return Kind(Role.REPEAT if _REPEAT.fullmatch(name) else Role.SAME)
    if match := re.fullmatch(r"(\d+) drop", edits):
        return Kind(Role.DROP, layer=int(match[1]))
    all_layers = f"0-{num_layers - 1}" if num_layers > 1 else "0"
    if match := re.fullmatch(rf"{all_layers} magnitude (\d+(?:\.\d+)?)(?: \w+)?", edits):
        percent = float(match[1])
        return Kind(Role.LEVEL if percent > 0 else Role.SAME, percent=percent)
    parts = edits.split(", ")
    if all(re.fullmatch(r"\d+(-\d+)? magnitude 0(?: \w+)?", part) for part in parts):
        return Kind(Role.SAME)
    return Kind(Role.OTHER)


def kinds_of(variants: pd.DataFrame, num_layers: int) -> pd.DataFrame:
    """Role, layer and percent of each variant, by name."""
    kinds = [
        kind_of(str(name), str(edits), num_layers) for name, edits in variants["edits"].items()
    ]
    return pd.DataFrame(
        {
            "role": [kind.role for kind in kinds],
            "layer": pd.array([kind.layer for kind in kinds], dtype="Int64"),
            "percent": pd.array([kind.percent for kind in kinds], dtype="Float64"),
        },
        index=variants.index,
    )


def layers_text(layers: list[int]) -> str:
    """`0-2, 19` of ascending numbers."""
    parts: list[str] = []
    first = last = None
    for layer in [*sorted(layers), None]:
        if first is not None and last is not None and layer == last + 1:
            last = layer
            continue
        if first is not None and last is not None:
            joint = "-" if last > first + 1 else ", "
            parts.append(str(first) if first == last else f"{first}{joint}{last}")
        first = last = layer
    return ", ".join(parts)
