"""Tables as text, Markdown, CSV, JSON or LaTeX. What an archive says is data in all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from prune_sweep.table import Table

Grid = list[list[str]]


def as_text(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """Aligned columns, for people."""
    blocks = []
    for table in tables:
        above, below = map(_one_line, (table.title, *table.top)), map(_one_line, table.notes)
        blocks.append("\n\n".join([*above, _aligned(table), *below]))
    return "\n\n".join([*blocks, *map(_one_line, notes)]) + "\n"


def as_markdown(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """Markdown, numbers to the right."""
    blocks = []
    for table in tables:
        grid = [[_markdown(cell) for cell in row] for row in table.grid()]
        rule = ["---:" if column.show.is_number else "---" for column in table.columns]
        lines = [f"| {' | '.join(row)} |" for row in [grid[0], rule, *grid[1:]]]
        top, below = map(_markdown, table.top), map(_markdown, table.notes)
        blocks.append(
            "\n\n".join([f"**{_markdown(table.title)}**", *top, "\n".join(lines), *below])
        )
    return "\n\n".join([*blocks, *map(_markdown, notes)]) + "\n"


def as_csv(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """All tables as one, with full precision; sentences are not in it.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    parts = []
    for table in tables:
        rows = table.rows.copy()
        rows.insert(0, "table", table.name)
        parts.append(rows.map(_csv))
    return str(pd.concat(parts).to_csv(index=False, lineterminator="\n"))


def as_json(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """Return an object with ``tables`` and ``notes``; what is missing is null."""
    content = {
        "tables": [
            {
                "name": table.name,
                "title": table.title,
                "top": list(table.top),
                "rows": table.records(),
                "notes": list(table.notes),
            }
            for table in tables
        ],
        "notes": list(notes),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def as_latex(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """Return tabulars in table environments; they need the package booktabs."""
    blocks = []
    for table in tables:
        columns = "".join("r" if column.show.is_number else "l" for column in table.columns)
        grid = [[latex(cell) for cell in row] for row in table.grid()]
        header, *rows = [" & ".join(row) + r" \\" for row in grid]
        blocks.append(
            "\n".join(
                [
                    r"\begin{table}",
                    rf"\caption{{{latex(table.title)}}}",
                    rf"\label{{tab:{re.sub(r'[^a-z0-9-]', '-', table.name)}}}",
                    *(rf"\par {latex(sentence)}" for sentence in table.top),
                    rf"\begin{{tabular}}{{{columns}}}",
                    *(r"\toprule", header, r"\midrule", *rows, r"\bottomrule"),
                    r"\end{tabular}",
                    *(rf"\par {latex(sentence)}" for sentence in table.notes),
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join([*blocks, *map(latex, notes)]) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Table], Sequence[str]], str]] = {
    "text": as_text,
    "csv": as_csv,
    "markdown": as_markdown,
    "json": as_json,
    "latex": as_latex,
}

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
}


def latex(text: str) -> str:
    """Text that LaTeX sets as it is; a minus in front of a digit becomes one."""
    escaped = "".join(_LATEX.get(sign, sign) for sign in _one_line(text))
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escaped)


def csv_text(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def _csv(value: Any) -> Any:
    return csv_text(value) if isinstance(value, str) else value


def _markdown(text: str) -> str:
    """Text without a meaning of its own in Markdown or HTML."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|#~$])", r"\\\1", _one_line(text))
    # Brackets of an interval are no link; keep them readable.
    return re.sub(r"\\\[([-+.\d]+, [-+.\d]+)\\\]", r"[\1]", escaped).replace("&", "&amp;")


def _one_line(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _aligned(table: Table) -> str:
    grid = [[_one_line(cell) for cell in row] for row in table.grid()]
    widths = [max(len(row[i]) for row in grid) for i in range(len(grid[0]))]
    grid = [grid[0], ["-" * width for width in widths], *grid[1:]]
    lines = []
    for row in grid:
        cells = [
            cell.rjust(width) if column.show.is_number else cell.ljust(width)
            for cell, width, column in zip(row, widths, table.columns, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
