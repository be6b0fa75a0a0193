"""The command prune-sweep-analysis: a table of commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import prune_sweep
from prune_sweep import render, tables


@dataclass(frozen=True)
class Command:
    """A command: its options, and what it does with them."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, or 2 for an archive that cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as head, has what it wants; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (prune_sweep.ArchiveError, OSError) as error:
        print(f"prune-sweep-analysis: {error}", file=sys.stderr)
        return 2
    return 0


def _add_tables_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("archive", metavar="ARCHIVE", help="an archive.h5")
    parser.add_argument("--format", choices=render.FORMATS, default="text", help="default: text")


def _run_tables(options: argparse.Namespace) -> None:
    with prune_sweep.open(options.archive) as run:
        notes = tables.report_notes(run)
        print(render.FORMATS[options.format](tables.report_tables(run), notes), end="")
    if options.format == "csv":
        print("\n".join(notes), file=sys.stderr)


COMMANDS = (
    Command(
        "tables",
        "accuracy by dropped layer and by percent pruned, beside the published numbers",
        _add_tables_arguments,
        _run_tables,
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
