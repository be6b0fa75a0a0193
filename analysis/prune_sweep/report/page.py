"""The page as a whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from prune_sweep import published, render, summary, tables
from prune_sweep.figures import FIGURES
from prune_sweep.question_texts import QuestionTexts, question_texts
from prune_sweep.report.blocks import Blocks
from prune_sweep.report.drawings import figure_html
from prune_sweep.report.explorer import add_explorer
from prune_sweep.run import Run
from prune_sweep.samples import SampleSet
from prune_sweep.table import Column, Table
from prune_sweep.variants import Role

#: What a page may load and do: nothing from anywhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_METHODS = (
    "Questions are the unit, and every variant was asked the same ones, so variants are compared "
    "in pairs. Intervals of accuracies are Wilson's; those of differences are the paired "
    "bootstrap's, computed instead of sampled, and Tango's score interval below 25 discordant "
    "questions. Tests are McNemar's: mid-p, and exact below 25 discordant questions. p Holm and p "
    "max-T (sign flips shared by all variants, stepped down) bound the probability of any error "
    "in the family; p BH bounds the share of false finds. All variants compared with the baseline "
    "on a score are one family. The minimum detectable difference is Connor's, with a power of "
    "80 %. Ranks are from 2,000 resamples of the questions. Standard errors are for questions "
    "drawn at random; a benchmark's first questions are not, and an interval does not know it."
)


def write_report(
    run: Run,
    path: Path,
    folders: Mapping[str, Path] | None = None,
    samples: SampleSet | None = None,
    max_bytes: int = 10_000_000,
) -> None:
    """Write the report. It is there as a whole, or what was there before stays.

    ``folders`` (by benchmark) and ``samples`` have the texts of the questions, which an archive
    has not; see :mod:`prune_sweep.question_texts`. Texts that ``max_bytes`` has no room for are
    left out, and the page says so.
    """
    html = report_html(run, folders, samples, max_bytes)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        partial.write_text(html, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def report_html(
    run: Run,
    folders: Mapping[str, Path] | None = None,
    samples: SampleSet | None = None,
    max_bytes: int = 10_000_000,
) -> str:
    """Return the page."""
    texts = question_texts(run, folders, samples)
    shown = tables.all_tables(run)
    found = (draw(run) for draw in FIGURES.values())
    drawings = {figure.name: figure_html(figure) for figure in found if figure is not None}
    body = _body(run, shown, drawings, texts)
    style, script = _asset("style.css"), _asset("app.js")
    head = _head(run, style)
    used = len((head + body + script).encode()) + 10_000
    blocks = Blocks(max_bytes - used)
    for table in shown:
        blocks.add(f"csv-{table.name}", render.as_csv([table]).encode())
    facts = add_explorer(run, texts, blocks)
    facts["first_pair"] = _first_pair(run)
    return "\n".join(
        [
            head,
            body,
            f'<script type="application/json" id="facts">{_json(facts)}</script>',
            blocks.html(),
            f"<script>{script}</script>",
            "</body></html>",
            "",
        ]
    )


def _head(run: Run, style: str) -> str:
    title = f"prune-sweep {run.attributes.get('run_id', '')}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
    )


def _body(
    run: Run, shown: list[Table], drawings: dict[str, str], texts: dict[str, QuestionTexts]
) -> str:
    by_name = {table.name: table for table in shown}
    report = [by_name.pop(name) for name in ("table-1", "table-2")]
    main = [
        _section("summary", "What the data say", _summary(run)),
        _section(
            "report",
            "Beside the published report",
            _notes(run) + _figures(drawings, "accuracy-by-layer", "sparsity-curves"),
            *(_table_html(table) for table in report),
        ),
        _section("compare", "Which differences are real", *_tables(by_name, "compare", "noise")),
        _section(
            "ranks",
            "Which layer matters most",
            _figures(drawings, "ranks"),
            *_tables(by_name, "rank", "trend"),
        ),
        _section("explorer", "Question explorer", _explorer(texts)),
        _section(
            "maps",
            "Where they differ",
            _figures(drawings, "layers-by-subject", "questions", "flips"),
            *_tables(by_name, "measures", "odd", "errors"),
        ),
        _section("run", "How the run went", _figures(drawings, "timeline"), _facts(run)),
        _section("methods", "How it is computed", f"<p>{escape(_METHODS)}</p>"),
    ]
    return f"<body>{_header(run)}<main>{''.join(main)}</main>"


def _header(run: Run) -> str:
    attributes = run.attributes
    words = [
        f"{len(run.variants)} variants",
        *(f"{b.num_questions} questions of {n.upper()}" for n, b in run.benchmarks.items()),
        f"{attributes['num_parameters']:,} parameters in {attributes['num_layers']} layers",
        f"{attributes.get('dtype', '')} on {attributes.get('device', '')}",
        str(attributes["state"]),
    ]
    links = (
        ("summary", "Summary"),
        ("report", "Report"),
        ("compare", "Differences"),
        ("ranks", "Ranks"),
        ("explorer", "Questions"),
        ("maps", "Maps"),
        ("run", "Run"),
        ("methods", "Methods"),
    )
    navigation = "".join(f'<a href="#{name}">{label}</a>' for name, label in links)
    return (
        '<a class="skip" href="#summary">To the summary</a><header>'
        f'<div class="title"><h1>prune-sweep <span>{escape(_model_name(run))}</span></h1>'
        '<button type="button" id="theme" aria-label="Switch between light and dark">'
        "&#9681;</button></div>"
        f"<p>{escape(' · '.join(words))}</p>"
        f'<nav aria-label="Sections">{navigation}</nav></header>'
    )


def _model_name(run: Run) -> str:
    if published.is_same_model(run.attributes):
        return published.MODEL
    return f"run {run.attributes.get('run_id', '')}"


def _section(name: str, title: str, *content: str) -> str:
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">'
        f'<h2 id="{name}-title">{escape(title)}</h2>{"".join(content)}</section>'
    )


def _summary(run: Run) -> str:
    parts = [
        f'<p class="flag"><strong>Note.</strong> {escape(text)}</p>' for text in summary.flags(run)
    ]
    cards = []
    for study in run.studies:
        items = "".join(f"<li>{escape(text)}</li>" for text in summary.sentences(study))
        cards.append(
            f'<article class="card"><h3>{escape(study.label)}</h3><ul>{items}</ul></article>'
        )
    return "".join(parts) + f'<div class="cards">{"".join(cards)}</div>'


def _notes(run: Run) -> str:
    return "".join(f"<p>{escape(note)}</p>" for note in tables.report_notes(run))


def _figures(drawings: dict[str, str], *names: str) -> str:
    return "".join(drawings[name] for name in names if name in drawings)


def _tables(by_name: dict[str, Table], *kinds: str) -> list[str]:
    """Tables of some kinds, each below a line that opens it; the first is open."""
    parts: list[str] = []
    for kind in kinds:
        for table in [t for name, t in by_name.items() if name.startswith(kind + "-")]:
            parts.append(_table_html(table, is_open=not parts))
    return parts


def _table_html(table: Table, is_open: bool = True) -> str:
    heads = "".join(_head_cell(column) for column in table.columns)
    records = table.records()
    rows = "".join(
        f"<tr>{''.join(_cell(column, record) for column in table.columns)}</tr>"
        for record in records
    )
    top = "".join(f'<p class="top">{escape(sentence)}</p>' for sentence in table.top)
    notes = "".join(f'<p class="note">{escape(sentence)}</p>' for sentence in table.notes)
    name = escape(table.name, quote=True)
    return (
        f'<details class="table" {"open" if is_open else ""}><summary>{escape(table.title)}'
        f"</summary>{top}"
        f'<p class="tools"><button type="button" data-csv="{name}">CSV</button></p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
        f'<table id="table-{name}"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        f"</div>{notes}</details>"
    )


def _head_cell(column: Column) -> str:
    kind = ' class="number"' if column.show.is_number else ""
    tip = f' title="{escape(column.help, quote=True)}"' if column.help else ""
    if not column.label:
        return f"<td{kind}></td>"
    return (
        f'<th scope="col"{kind} aria-sort="none">'
        f'<button type="button"{tip}>{escape(column.label)}</button></th>'
    )


def _cell(column: Column, record: dict[str, Any]) -> str:
    text = escape(column.cell(record))
    if not column.show.is_number:
        return f"<td>{text}</td>"
    value = record.get(column.keys[0])
    return f'<td class="number" data-value="{"" if value is None else value}">{text}</td>'


def _explorer(texts: dict[str, QuestionTexts]) -> str:
    sources = []
    for name, found in texts.items():
        has_texts = any(text is not None for text in found.texts)
        where = f"texts from {found.source}" if has_texts else f"no texts: {found.source}"
        checked = f"; {found.num_verified} prompts are those that were asked, by their SHA-256"
        sources.append(f"{name.upper()}: {where}{checked if has_texts else ''}.")
    return _asset("explorer.html").replace("SOURCES", escape(" ".join(sources)))


def _facts(run: Run) -> str:
    left_out = {"format", "job", "state"}
    rows = "".join(
        f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(_text(value))}</dd>"
        for name, value in run.attributes.items()
        if name not in left_out
    )
    job = escape(str(run.attributes.get("job", "")))
    parts = [
        f'<dl class="facts">{rows}</dl>',
        f"<details><summary>The job</summary><pre>{job}</pre></details>",
    ]
    if len(run.quarantined):
        items = "".join(
            f"<li>{escape(' '.join(f'{key}: {value}' for key, value in row.items()))}</li>"
            for row in run.quarantined.to_dict("records")
        )
        parts.append(f"<h3>Questions in quarantine</h3><ul>{items}</ul>")
    return "".join(parts)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _first_pair(run: Run) -> list[int]:
    """The baseline and the tested variant with the most losses that is not broken altogether."""
    names = list(run.variants.index)
    for study in run.studies:
        drops = study.comparisons.loc[
            [n for n in study.tested if study.kinds.loc[n, "role"] == Role.DROP] or study.tested
        ]
        if len(drops):
            middle = drops["flips"].sort_values(kind="stable").index[len(drops) // 2]
            return [names.index(study.reference), names.index(middle)]
    return [0, min(1, len(names) - 1)]


def _json(value: Any) -> str:
    """JSON inside a script element: no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _asset(name: str) -> str:
    return (resources.files("prune_sweep.report") / "assets" / name).read_text(encoding="utf-8")
