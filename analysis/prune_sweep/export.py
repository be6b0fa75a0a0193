"""An archive as plain files, for programs that do not read HDF5."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prune_sweep import render
from prune_sweep.benchmark import Benchmark
from prune_sweep.run import Run
from prune_sweep.tables import all_tables


def export(run: Run, folder: Path, form: str) -> list[Path]:
    """Write everything in an archive as ``form``, csv or json. Returns the files.

    ``records-NAME`` has one row for each variant and question; in JSON it is JSON Lines. In CSV
    each choice's log-likelihood is a column. Texts that a spreadsheet would take for a formula
    begin with an apostrophe in CSV; JSON has them as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    frames = {
        "variants": run.variants.reset_index(),
        "units": run.units.reset_index(),
        "quarantined": run.quarantined.reset_index(),
    }
    for name, benchmark in run.benchmarks.items():
        frames[f"questions-{name}"] = benchmark.questions.reset_index()
    for name, frame in frames.items():
        written.append(_write_frame(frame, folder / f"{name}.{form}"))
    for name, benchmark in run.benchmarks.items():
        written.append(_write_records(benchmark, folder / f"records-{name}.{form}"))
    for table in all_tables(run):
        path = folder / f"{table.name}.{form}"
        path.write_text(render.FORMATS[form]([table], []), encoding="utf-8")
        written.append(path)
    return written


def _write_frame(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.map(_cell).to_csv(path, index=False, lineterminator="\n")
    else:
        path.write_text("\n".join(_json_lines(frame)) + "\n", encoding="utf-8")
    return path


def _write_records(benchmark: Benchmark, path: Path) -> Path:
    """One variant at a time, so that memory does not grow with their number."""
    with path.open("w", encoding="utf-8", newline="") as file:
        for row, variant in enumerate(benchmark.variants):
            records = benchmark.records(str(variant)).reset_index()
            records.insert(0, "variant", str(variant))
            if path.suffix == ".csv":
                flat = _flattened(records).map(_cell)
                flat.to_csv(file, index=False, header=row == 0, lineterminator="\n")
            else:
                file.writelines(line + "\n" for line in _json_lines(records))
    return path


def _flattened(records: pd.DataFrame) -> pd.DataFrame:
    """A list in each cell of loglik becomes a column for each choice."""
    if "loglik" not in records:
        return records
    matrix = np.array(records["loglik"].tolist())
    choices = pd.DataFrame(matrix, columns=[f"loglik_{c}" for c in range(matrix.shape[1])])
    return pd.concat([records.drop(columns="loglik"), choices], axis=1)


def _json_lines(frame: pd.DataFrame) -> Iterator[str]:
    for row in frame.to_dict("records"):
        plain = {str(key): _plain(value) for key, value in row.items()}
        yield json.dumps(plain, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _cell(value: Any) -> Any:
    return render.csv_text(value) if isinstance(value, str) else value
