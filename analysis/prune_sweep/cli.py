"""The command prune-sweep-analysis: a table of commands."""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import prune_sweep
from prune_sweep import figures, render, tables
from prune_sweep.alignment import Side, align
from prune_sweep.export import export
from prune_sweep.report import write_report
from prune_sweep.run import Run
from prune_sweep.samples import SamplesError, read_samples
from prune_sweep.study import Study
from prune_sweep.table import Table
from prune_sweep.variants import BASELINE, Role


@dataclass(frozen=True)
class Command:
    """A command: its options, and what it does with them."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


class BadInputError(Exception):
    """What was asked for cannot be done. The message says what, why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 for input that cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as head, has what it wants; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (prune_sweep.ArchiveError, SamplesError, BadInputError, OSError) as error:
        return _refuse(str(error))
    except KeyError as error:
        return _refuse(str(error.args[0]))
    return 0


def _refuse(message: str) -> int:
    print(f"prune-sweep-analysis: {message}", file=sys.stderr)
    return 2


def _add_archive(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("archive", metavar="ARCHIVE", help="an archive.h5")


def _add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=render.FORMATS, default="text", help="default: text")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")


def _add_scores(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--benchmark", help="only this one; default: all")
    parser.add_argument("--score", help="such as flexible_correct; default: all")


def _print(found: Sequence[Table], notes: Sequence[str], options: argparse.Namespace) -> None:
    text = render.FORMATS[options.format](found, notes)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    if options.format == "csv":
        sentences = [s for table in found for s in (*table.top, *table.notes)]
        print("\n".join(dict.fromkeys([*sentences, *notes])), file=sys.stderr)


def _studies(run: Run, options: argparse.Namespace, reference: str = BASELINE) -> list[Study]:
    """One for each score that the options name."""
    names = [options.benchmark] if options.benchmark else list(run.benchmarks)
    found = []
    for name in names:
        scores = [s for s in run.study(name).benchmark.scores if options.score in (None, s)]
        found += [run.study(name, score, reference) for score in scores]
    if not found:
        known = {score for b in run.benchmarks.values() for score in b.scores}
        raise BadInputError(f"--score={options.score}: no such score; there are {', '.join(known)}")
    return found


def _matching(run: Run, patterns: Sequence[str]) -> list[str]:
    """Names of the variants that match any of the patterns, in the archive's order."""
    names = [str(name) for name in run.variants.index]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise BadInputError(f"{pattern}: no variant of {run.path} is called so; see `tables`")
    return [name for name in names if any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def _add_tables_arguments(parser: argparse.ArgumentParser) -> None:
    _add_archive(parser)
    parser.add_argument("--all", action="store_true", help="every table, not only the report's two")
    _add_format(parser)


def _run_tables(options: argparse.Namespace) -> None:
    with prune_sweep.open(options.archive) as run:
        found = tables.all_tables(run) if options.all else tables.report_tables(run)
        _print(found, tables.report_notes(run), options)


def _add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    _add_archive(parser)
    parser.add_argument(
        "variants",
        nargs="*",
        metavar="VARIANT",
        help="names or patterns such as 'drop-*'; they are the family that p-values are adjusted "
        "for; default: all",
    )
    parser.add_argument("--reference", default=BASELINE, help=f"default: {BASELINE}")
    parser.add_argument(
        "--with",
        dest="other",
        nargs="+",
        metavar="OTHER",
        help="another archive, or samples files (or a folder of them) of lm-evaluation-harness: "
        "compares variants of the same name, question by question",
    )
    parser.add_argument(
        "--as",
        dest="other_variant",
        default=BASELINE,
        metavar="VARIANT",
        help=f"what variant the samples are; default: {BASELINE}",
    )
    _add_scores(parser)
    _add_format(parser)


def _run_compare(options: argparse.Namespace) -> None:
    with prune_sweep.open(options.archive) as run:
        if options.other:
            _compare_runs(run, options)
            return
        found = []
        for study in _studies(run, options, options.reference):
            names = [n for n in _matching(run, options.variants) if n != options.reference]
            found.append(tables.comparison_table(study, names or None))
        _print(found, (), options)


def _compare_runs(run: Run, options: argparse.Namespace) -> None:
    first = options.other[0]
    if len(options.other) == 1 and Path(first).suffix == ".h5":
        with prune_sweep.open(first) as other:
            found = align(Side.of_run(run), Side.of_run(other))
    else:
        side = Side.of_samples(read_samples(options.other), options.other_variant)
        found = align(Side.of_run(run), side)
    label = first if len(options.other) == 1 else f"{first} ..."
    _print(found.as_tables(str(run.path), label), (), options)


def _add_rank_arguments(parser: argparse.ArgumentParser) -> None:
    _add_archive(parser)
    parser.add_argument(
        "variants",
        nargs="*",
        metavar="VARIANT",
        help="names or patterns; default: the dropped layers, or all variants without any",
    )
    parser.add_argument("--resamples", type=int, default=2_000, help="default: 2000")
    _add_scores(parser)
    _add_format(parser)


def _run_rank(options: argparse.Namespace) -> None:
    if options.resamples < 1:
        raise BadInputError(f"--resamples={options.resamples}: at least 1 is needed")
    with prune_sweep.open(options.archive) as run:
        names = _matching(run, options.variants)
        noun = "variant"
        if not names:
            drops = run.kinds.index[run.kinds["role"] == Role.DROP]
            noun = "layer" if len(drops) else "variant"
            names = [str(name) for name in (drops if len(drops) else run.variants.index)]
        found = []
        for study in _studies(run, options):
            ranks = study.ranks(names, options.resamples)
            found.append(tables.rank_table(study, ranks, noun))
        _print(found, (), options)


def _add_figures_arguments(parser: argparse.ArgumentParser) -> None:
    _add_archive(parser)
    parser.add_argument("--output", type=Path, default=Path("figures"), metavar="FOLDER")
    parser.add_argument(
        "--format",
        default="svg",
        metavar="LIST",
        help=f"of {', '.join(figures.FORMATS)}; default: svg",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=figures.FIGURES,
        metavar="NAME",
        help=", ".join(figures.FIGURES),
    )


def _run_figures(options: argparse.Namespace) -> None:
    forms = options.format.split(",")
    for form in forms:
        if form not in figures.FORMATS:
            known = ", ".join(figures.FORMATS)
            raise BadInputError(f"--format={options.format}: no {form!r}; there are {known}")
    with prune_sweep.open(options.archive) as run:
        for name in options.only or figures.FIGURES:
            figure = figures.FIGURES[name](run)
            if figure is None:
                print(f"{name}: nothing in this archive to draw", file=sys.stderr)
                continue
            for form in forms:
                print(figures.save(figure, options.output, form))


def _add_report_arguments(parser: argparse.ArgumentParser) -> None:
    _add_archive(parser)
    parser.add_argument("--output", type=Path, default=Path("report.html"), metavar="FILE")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="BENCHMARK=FOLDER",
        help="the texts of the questions, as mmlu=data/mmlu; default: where the job had them",
    )
    parser.add_argument(
        "--samples",
        nargs="+",
        metavar="FILE",
        help="the texts from samples files, of `prune-sweep samples` or lm-evaluation-harness",
    )
    parser.add_argument(
        "--max-size",
        type=float,
        default=10,
        metavar="MB",
        help="texts that do not fit are left out, and the page says so; default: 10",
    )


def _run_report(options: argparse.Namespace) -> None:
    folders = {}
    for text in options.data:
        name, equals, folder = text.partition("=")
        if not equals or not Path(folder).is_dir():
            raise BadInputError(f"--data={text}: not BENCHMARK=FOLDER, or no such folder")
        folders[name] = Path(folder)
    samples = read_samples(options.samples) if options.samples else None
    with prune_sweep.open(options.archive) as run:
        for name in folders:
            run.study(name)
        write_report(run, options.output, folders, samples, int(options.max_size * 1e6))
    print(options.output)


def _add_export_arguments(parser: argparse.ArgumentParser) -> None:
    _add_archive(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--format", choices=("csv", "json"), default="csv", help="default: csv")


def _run_export(options: argparse.Namespace) -> None:
    with prune_sweep.open(options.archive) as run:
        for path in export(run, options.output, options.format):
            print(path)


COMMANDS = (
    Command(
        "tables",
        "accuracy by dropped layer and by percent pruned, beside the published numbers",
        _add_tables_arguments,
        _run_tables,
    ),
    Command(
        "compare",
        "variants against the baseline, or a run against another: which differences are real",
        _add_compare_arguments,
        _run_compare,
    ),
    Command(
        "rank",
        "variants from the worst on, with rank intervals",
        _add_rank_arguments,
        _run_rank,
    ),
    Command(
        "figures",
        "figures as SVG, PDF or PNG files",
        _add_figures_arguments,
        _run_figures,
    ),
    Command(
        "report",
        "one HTML page with everything, and every answer to read",
        _add_report_arguments,
        _run_report,
    ),
    Command(
        "export",
        "everything in the archive as CSV or JSON files",
        _add_export_arguments,
        _run_export,
    ),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prune-sweep-analysis", description="Says what is in an archive of prune-sweep."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = commands.add_parser(command.name, help=command.help, description=command.help)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
