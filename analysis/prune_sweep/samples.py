"""Samples files of lm-evaluation-harness, its own and those of `prune-sweep samples`.

Lines of `lm_eval --log_samples`: one JSON object for each question and filter.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prune_sweep.statistics.proportion import Floats

#: By metric and filter: benchmark and score, in the archive's words.
_SCORES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("acc", "none"): ("mmlu", "correct"),
    ("exact_match", "strict-match"): ("gsm8k", "strict_correct"),
    ("exact_match", "flexible-extract"): ("gsm8k", "flexible_correct"),
}


class SamplesError(ValueError):
    """A file is no samples file. The message names file and line."""


@dataclass(frozen=True)
class SampleSet:
    """What one model answered, by benchmark."""

    label: str
    #: subject, doc_id, gold, prompt, prompt_sha256; one row for each question
    questions: Mapping[str, pd.DataFrame]
    scores: Mapping[tuple[str, str], Floats]  #: by (benchmark, score): [question], NaN: missing
    loglik: Mapping[str, Floats]  #: by benchmark: [question, choice]


def read_samples(paths: Iterable[str | os.PathLike[str]]) -> SampleSet:
    """Read samples files, or folders of them, as one set."""
    files = [file for path in paths for file in _files(Path(path))]
    rows: dict[str, dict[tuple[str, int], dict[str, Any]]] = {}
    for file in files:
        for where, sample in _lines(file):
            benchmark, name, row = _row(where, sample)
            known = rows.setdefault(benchmark, {}).setdefault((row["subject"], row["doc_id"]), row)
            if name in known and known is not row:
                raise SamplesError(
                    f"{where}: the question was there before (doc_id {row['doc_id']})"
                )
            known.update(row)
    questions, scores, loglik = {}, {}, {}
    for benchmark, by_question in rows.items():
        frame = pd.DataFrame([by_question[key] for key in sorted(by_question)])
        for _, score in _SCORES.values():
            if score in frame:
                scores[benchmark, score] = frame.pop(score).to_numpy(float)
        if "loglik" in frame:
            loglik[benchmark] = _matrix(frame.pop("loglik").tolist())
        questions[benchmark] = frame.rename_axis("question")
    label = str(files[0]) if len(files) == 1 else f"{files[0].parent} ({len(files)} files)"
    return SampleSet(label, questions, scores, loglik)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("samples_*.jsonl"))
    if not found:
        raise SamplesError(f"{path}: no samples_*.jsonl in this folder")
    return found


def _lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{file}:{number}"
            try:
                sample = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise SamplesError(f"{where}: not a sample ({error})") from error
            if not isinstance(sample, dict):
                raise SamplesError(f"{where}: not a sample (an object is expected)")
            yield where, sample


def _row(where: str, sample: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    try:
        filter_name = sample.get("filter", "none")
        metric = next(name for name in ("acc", "exact_match") if name in sample)
        benchmark, score = _SCORES[metric, filter_name]
        prompt = _prompt(sample["arguments"])
        row: dict[str, Any] = {
            "subject": str(sample["doc"].get("subject", "")),
            "doc_id": int(sample["doc_id"]),
            "gold": sample["target"],
            "doc": sample["doc"],
            "prompt": prompt,
            "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(),
            score: float(sample[metric]),
        }
        if metric == "acc":
            row["loglik"] = [float(response[0]) for response in sample["filtered_resps"]]
        else:
            row["response"] = str(sample["resps"][0][0])
    except StopIteration:
        raise SamplesError(f"{where}: neither acc nor exact_match in it") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SamplesError(f"{where}: not a sample of MMLU or GSM8K ({error!r})") from error
    return benchmark, score, row


def _prompt(arguments: Any) -> str:
    """Older versions write [[prompt, request], ...], newer ones an object of objects."""
    if isinstance(arguments, dict):
        return str(arguments["gen_args_0"]["arg_0"])
    return str(arguments[0][0])


def _matrix(rows: list[Any]) -> Floats:
    width = max((len(row) for row in rows if isinstance(row, list)), default=0)
    matrix = np.full((len(rows), width), np.nan)
    for i, row in enumerate(rows):
        if isinstance(row, list):
            matrix[i, : len(row)] = row
    return matrix
