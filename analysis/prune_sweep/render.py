"""Tables as text, Markdown, CSV or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from prune_sweep.tables import ReportTable, Score

#: Headers and rows of strings.
Grid = list[list[str]]


def as_text(tables: Sequence[ReportTable], notes: Sequence[str]) -> str:
    """Aligned columns, for people."""
    blocks = [f"{table.title}\n\n{_aligned(_grid(table))}" for table in tables]
    return "\n\n".join([*blocks, *notes]) + "\n"


def as_markdown(tables: Sequence[ReportTable], notes: Sequence[str]) -> str:
    """Markdown, numbers to the right."""
    blocks = []
    for table in tables:
        grid = [[cell.replace("|", "\\|") for cell in row] for row in _grid(table)]
        rule = ["---"] * 2 + ["---:"] * (len(grid[0]) - 2)
        lines = [f"| {' | '.join(row)} |" for row in [grid[0], rule, *grid[1:]]]
        blocks.append(f"**{table.title}**\n\n" + "\n".join(lines))
    return "\n\n".join([*blocks, *notes]) + "\n"


def as_csv(tables: Sequence[ReportTable], notes: Sequence[str]) -> str:
    """Both tables as one, with full precision; the notes are not in it."""
    parts = []
    for number, table in enumerate(tables, start=1):
        rows = table.rows.rename(columns={table.key: "value"})
        rows.insert(0, "key", table.key)
        rows.insert(0, "table", number)
        parts.append(rows)
    return str(pd.concat(parts).to_csv(index=False, lineterminator="\n"))


def as_json(tables: Sequence[ReportTable], notes: Sequence[str]) -> str:
    """Return an object with ``tables`` and ``notes``; what is missing is null."""
    content = {
        "tables": [{"title": table.title, "rows": _records(table.rows)} for table in tables],
        "notes": list(notes),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[ReportTable], Sequence[str]], str]] = {
    "text": as_text,
    "csv": as_csv,
    "markdown": as_markdown,
    "json": as_json,
}


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    nullable = rows.astype(object).where(rows.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in nullable.to_dict("records")]


def _grid(table: ReportTable) -> Grid:
    rows = table.rows
    counts = {score: set(rows[f"{score.key}_num_questions"]) for score in table.scores}
    headers = [table.key, "variant"]
    for score in table.scores:
        headers.append(_header(score, counts[score]))
    reports = [name for name in ("report_mmlu", "report_gsm8k") if name in rows]
    headers += [f"{table.report_label} {name.removeprefix('report_').upper()}" for name in reports]
    grid = [headers]
    for _, row in rows.iterrows():
        cells = [row[table.key] or "-", row["variant"]]
        cells += [_cell(row, score, len(counts[score]) > 1) for score in table.scores]
        cells += ["-" if pd.isna(row[name]) else f"{row[name]:.2f}" for name in reports]
        grid.append(cells)
    return grid


def _header(score: Score, counts: set[int]) -> str:
    return f"{score.label} (n = {min(counts)})" if len(counts) == 1 else f"{score.label} (n)"


def _cell(row: pd.Series[Any], score: Score, with_count: bool) -> str:
    """Show as 0.3333 ± 0.1421, with (12) behind it where n is not the same in all rows."""
    count = int(row[f"{score.key}_num_questions"])
    if count == 0:
        return "-"
    text = f"{row[f'{score.key}_accuracy']:.4f}"
    if count > 1:
        text += f" ± {row[f'{score.key}_standard_error']:.4f}"
    return f"{text} ({count})" if with_count else text


def _aligned(grid: Grid) -> str:
    widths = [max(len(row[i]) for row in grid) for i in range(len(grid[0]))]
    grid = [grid[0], ["-" * width for width in widths], *grid[1:]]
    lines = []
    for row in grid:
        padded = zip(row, widths, range(len(row)), strict=True)
        cells = [cell.ljust(width) if i < 2 else cell.rjust(width) for cell, width, i in padded]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
