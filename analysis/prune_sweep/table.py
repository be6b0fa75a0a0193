"""A table as a value: its numbers, and how its columns are shown."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


class Show(enum.Enum):
    """How a column's numbers are written."""

    TEXT = "text"
    COUNT = "count"
    SHARE = "share"  #: 0.717
    INTERVAL = "interval"  #: 0.717 [0.592, 0.815]
    DIFFERENCE = "difference"  #: points: -23.3 [-37.1, -9.7]
    POINTS = "points"  #: -23.3
    P = "p"  #: 0.012, 2e-05
    NUMBER = "number"  #: three significant digits
    SIGNED = "signed"  #: -1.65 [-2.30, -1.00]

    @property
    def is_number(self) -> bool:
        """Whether cells line up at their right end."""
        return self is not Show.TEXT


@dataclass(frozen=True)
class Column:
    """A column of a table, from one or more columns of its rows."""

    label: str
    keys: tuple[str, ...]
    show: Show
    help: str = ""  #: what the label does not say

    def cell(self, row: Mapping[str, Any]) -> str:
        """Show a row's cell; `-` where it is missing."""
        values = [row.get(key) for key in self.keys]
        if any(_is_missing(value) for value in values[:1]):
            return "-"
        return _WRITERS[self.show](values)


@dataclass(frozen=True)
class Table:
    """One table. Numbers are in ``rows``; how they are shown is up to the reader's format."""

    name: str  #: for files: `table-1`
    title: str
    columns: tuple[Column, ...]
    rows: pd.DataFrame
    top: tuple[str, ...] = ()  #: sentences above it: what can be detected
    notes: tuple[str, ...] = ()  #: sentences below it

    def records(self) -> list[dict[str, Any]]:
        """Rows with None for what is missing."""
        nullable = self.rows.astype(object).where(self.rows.notna(), None)
        return [{str(k): _plain(v) for k, v in row.items()} for row in nullable.to_dict("records")]

    def grid(self) -> list[list[str]]:
        """Headers and cells as they are shown."""
        cells = [[column.cell(row) for column in self.columns] for row in self.records()]
        return [[column.label for column in self.columns], *cells]


def p_text(value: float) -> str:
    """`0.034`, `2e-05`: two significant digits."""
    if value >= 0.995:
        return "1"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}" if value >= 1e-4 else f"{value:.0e}"


def _share(value: float) -> str:
    return f"{value:.3f}"


def _interval(values: list[Any]) -> str:
    if any(_is_missing(value) for value in values):
        return _share(values[0])
    return f"{_share(values[0])} [{_share(values[1])}, {_share(values[2])}]"


def _difference(values: list[Any]) -> str:
    center, *ends = (100 * value for value in values if not _is_missing(value))
    if len(ends) != 2:
        return f"{center:+.1f}"
    return f"{center:+.1f} [{ends[0]:+.1f}, {ends[1]:+.1f}]"


def _signed(values: list[Any]) -> str:
    center, *ends = (value for value in values if not _is_missing(value))
    if len(ends) != 2:
        return f"{center:+.3g}"
    return f"{center:+.3g} [{ends[0]:+.3g}, {ends[1]:+.3g}]"


_WRITERS = {
    Show.TEXT: lambda values: str(values[0]),
    Show.COUNT: lambda values: f"{int(values[0])}",
    Show.SHARE: lambda values: _share(values[0]),
    Show.INTERVAL: _interval,
    Show.DIFFERENCE: _difference,
    Show.POINTS: lambda values: f"{100 * values[0]:+.1f}",
    Show.P: lambda values: p_text(values[0]),
    Show.NUMBER: lambda values: f"{values[0]:.3g}",
    Show.SIGNED: _signed,
}


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
