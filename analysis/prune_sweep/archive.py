"""The archive as a file, format 1 of results/FORMAT.md. No other module knows an HDF5 path."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

FORMAT = "prune-sweep"
FORMAT_MAJOR = 1

Array = npt.NDArray[Any]


class ArchiveError(ValueError):
    """A file is no archive, of an unknown version, or damaged. The message names file and path."""


class Archive:
    """An open archive. Every method reads what it is asked for and keeps nothing."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the archive and check its format and major version."""
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: there is no such file")
        if not h5py.is_hdf5(self.path):
            raise ArchiveError(f"{self.path}: not an archive of prune-sweep (not an HDF5 file)")
        with self._reading("/"):
            self._file = h5py.File(self.path, "r", locking="best-effort")
        try:
            self._check_version()
            self.num_variants = len(self._data_set("variants/name"))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file. What was read stays."""
        self._file.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def attributes(self) -> dict[str, Any]:
        """Root attributes: what the run was, and where."""
        return self._attributes("/", "state", "num_layers", "num_parameters")

    def variants(self) -> dict[str, Array]:
        """Columns of the variants, each [variant]."""
        return self._columns("variants", self.num_variants, leave_out="variant")

    def benchmark_names(self) -> list[str]:
        """Benchmarks, in the order of the plan."""
        return [name for name, _ in self._members("benchmarks")]

    def benchmark_attributes(self, benchmark: str) -> dict[str, Any]:
        """Attributes of a benchmark: kind, shots, rules."""
        return self._attributes(f"benchmarks/{benchmark}", "kind")

    def num_questions(self, benchmark: str) -> int:
        """Return the number of questions of a benchmark."""
        return len(self._data_set(f"benchmarks/{benchmark}/question"))

    def questions(self, benchmark: str) -> dict[str, Array]:
        """Columns of a benchmark's questions, each [question]."""
        return self._columns(f"benchmarks/{benchmark}/questions", self.num_questions(benchmark))

    def number_columns(self, benchmark: str) -> list[str]:
        """Names of the columns that have numbers for every variant and question."""
        return [
            name
            for name, item in self._members(f"benchmarks/{benchmark}")
            if isinstance(item, h5py.Dataset) and item.ndim > 1
        ]

    def text_columns(self, benchmark: str) -> list[str]:
        """Names of the columns that have a text for every variant and question."""
        return [
            name
            for name, item in self._members(f"benchmarks/{benchmark}")
            if isinstance(item, h5py.Group) and "offsets" in item
        ]

    def numbers(self, benchmark: str, column: str, variant: int | None = None) -> Array:
        """Return a column: [variant, question, ...], or [question, ...] of one variant.

        Integers are masked where they are missing; floats are NaN there.
        """
        path = f"benchmarks/{benchmark}/{column}"
        data_set = self._data_set(path)
        expected = (self.num_variants, self.num_questions(benchmark))
        if data_set.shape[:2] != expected:
            raise self._error(path, f"its shape is {data_set.shape}, not {expected}")
        with self._reading(path):
            values: Array = data_set[()] if variant is None else data_set[variant]
            if values.dtype.kind == "f":
                return values
            return np.ma.MaskedArray(values, mask=values == data_set.fillvalue)

    def labels(self, benchmark: str, column: str) -> dict[int, str]:
        """Return what the numbers of an enumeration mean; empty for other columns."""
        path = f"benchmarks/{benchmark}/{column}"
        words = str(self._attributes(path).get("labels", ""))
        with self._reading(path):
            return _parse_labels(words)

    def texts(self, benchmark: str, column: str, variant: int) -> list[str]:
        """Return the texts of one variant, one for every question; a missing one is empty."""
        path = f"benchmarks/{benchmark}/{column}/offsets"
        offsets = self._data_set(path)
        expected = (self.num_variants, self.num_questions(benchmark) + 1)
        if offsets.shape != expected:
            raise self._error(path, f"its shape is {offsets.shape}, not {expected}")
        with self._reading(path):
            bounds = [int(bound) for bound in offsets[variant]]
        bytes_path = f"benchmarks/{benchmark}/{column}/bytes"
        bytes_ = self._data_set(bytes_path)
        if bounds != sorted(bounds) or bounds[-1] > len(bytes_):
            raise self._error(path, "they lead out of the texts")
        with self._reading(bytes_path):
            block = bytes_[bounds[0] : bounds[-1]].tobytes()
        places = itertools.pairwise(bound - bounds[0] for bound in bounds)
        return [_decode(block[begin:end]) for begin, end in places]

    def shares(self, benchmark: str) -> dict[str, Array]:
        """Shares of odd answers, each [variant]; empty in archives that have none."""
        with self._reading(f"benchmarks/{benchmark}"):
            has_shares = "shares" in self._file[f"benchmarks/{benchmark}"]
        return (
            self._columns(f"benchmarks/{benchmark}/shares", self.num_variants) if has_shares else {}
        )

    def quarantined(self) -> dict[str, Array]:
        """Columns of the questions in quarantine, each [entry]; empty in older archives."""
        with self._reading("audit"):
            has_entries = "quarantined" in self._file["audit"]
        if not has_entries:
            return {}
        size = len(self._data_set("audit/quarantined/entry"))
        return self._columns("audit/quarantined", size, "entry")

    def units(self) -> dict[str, Array]:
        """Columns of the attempts at units of work, each [event]."""
        return self._columns("audit/units", len(self._data_set("audit/units/event")), "event")

    def _check_version(self) -> None:
        with self._reading("/"):
            attributes = self._file.attrs
            found = attributes.get("format")
            if found != FORMAT:
                reason = "no attribute format" if found is None else f"format is {found!r}"
                raise ArchiveError(f"{self.path}: not an archive of prune-sweep ({reason})")
            major, minor = int(attributes["format_major"]), int(attributes["format_minor"])
        if major != FORMAT_MAJOR:
            advice = "Install a newer package." if major > FORMAT_MAJOR else ""
            raise ArchiveError(
                f"{self.path}: format {major}.{minor} "
                f"(this package reads {FORMAT_MAJOR}.x) {advice}".rstrip()
            )

    def _attributes(self, path: str, *required: str) -> dict[str, Any]:
        with self._reading(path):
            found = {name: _plain(value) for name, value in self._file[path].attrs.items()}
        for name in required:
            if name not in found:
                raise self._error(path, f"it has no attribute {name}")
        return found

    def _columns(self, group: str, size: int, leave_out: str = "") -> dict[str, Array]:
        names = [name for name, _ in self._members(group)]
        return {name: self._list(f"{group}/{name}", size) for name in names if name != leave_out}

    def _list(self, path: str, size: int) -> Array:
        data_set = self._data_set(path)
        if data_set.shape != (size,):
            raise self._error(path, f"its shape is {data_set.shape}, not {(size,)}")
        with self._reading(path):
            values: Array = data_set[()]
        if values.dtype.kind != "S":
            return values
        return np.array([_decode(value) for value in values], dtype=object)

    def _members(self, group: str) -> list[tuple[str, Any]]:
        with self._reading(group):
            return list(self._file[group].items())

    def _data_set(self, path: str) -> Any:
        with self._reading(path):
            found = self._file[path]
        if not isinstance(found, h5py.Dataset):
            raise self._error(path, "it is not a data set")
        return found

    def _error(self, path: str, reason: object) -> ArchiveError:
        return ArchiveError(f"{self.path}: {path} cannot be read ({reason})")

    @contextlib.contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        """Turn what h5py throws on damaged files into an error that names file and path."""
        try:
            yield
        except ArchiveError:
            raise
        except KeyError as error:
            raise self._error(path, error.args[0] if error.args else "missing") from error
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise self._error(path, error) from error


def _decode(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _plain(value: Any) -> Any:
    """Turn NumPy's scalars and arrays into Python's own."""
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _parse_labels(words: str) -> dict[int, str]:
    """Read "0=wrong 255=not evaluated": a word without a number belongs to the one before."""
    labels: dict[int, str] = {}
    last = -1
    for word in words.split():
        number, equals, text = word.partition("=")
        if equals:
            last = int(number)
            labels[last] = text
        else:
            labels[last] += " " + word
    return labels
