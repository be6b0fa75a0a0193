"""The texts of the questions, which an archive names by digest only.

They are taken from the data folders that the archive's job names, from folders that are given, or
from samples files; a prompt counts as the one that was asked only if its SHA-256 is that of the
archive.
"""

from __future__ import annotations

import configparser
import csv
import functools
import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prune_sweep.benchmark import Benchmark
from prune_sweep.run import Run
from prune_sweep.samples import SampleSet

LETTERS = "ABCD"
#: lm-evaluation-harness draws exemplars from a generator with this seed.
_FEWSHOT_SEED = 1234


@dataclass(frozen=True)
class QuestionText:
    """One question as its file has it; ``prompt`` only where its digest is the archive's."""

    question: str
    choices: tuple[str, ...] = ()
    solution: str = ""
    prompt: str = ""


@dataclass(frozen=True)
class QuestionTexts:
    """Texts of a benchmark's questions, in the archive's order; None where there is none."""

    texts: list[QuestionText | None]
    source: str  #: for people: where they are from, or why there are none

    @property
    def num_verified(self) -> int:
        """Number of prompts whose digest is the archive's."""
        return sum(text is not None and bool(text.prompt) for text in self.texts)


def question_texts(
    run: Run, folders: Mapping[str, Path] | None = None, samples: SampleSet | None = None
) -> dict[str, QuestionTexts]:
    """Texts by benchmark. ``folders``, by benchmark, go before those that the job names."""
    job = _job_folders(run)
    found = {}
    for name, benchmark in run.benchmarks.items():
        folder = (folders or {}).get(name)
        if samples is not None and name in samples.questions:
            found[name] = _from_samples(benchmark, samples)
        elif folder is not None:
            found[name] = _from_folder(run, benchmark, folder)
        elif name in job and job[name].is_dir():
            try:
                found[name] = _from_folder(run, benchmark, job[name])
            except (OSError, ValueError, KeyError) as error:
                reason = f"the job's folder {job[name]} cannot be used ({error})"
                found[name] = _without(benchmark, reason)
        else:
            where = f"{job[name]} is not on this machine" if name in job else "the job names none"
            found[name] = _without(benchmark, f"the archive has no texts, and {where}")
    return found


def population(run: Run, benchmark: str, folders: Mapping[str, Path] | None = None) -> int | None:
    """Size of the whole benchmark that the questions are from, if its folder is at hand."""
    folder = (folders or {}).get(benchmark) or _job_folders(run).get(benchmark)
    reader = _READERS.get(benchmark)
    if folder is None or reader is None or not folder.is_dir():
        return None
    try:
        return len(reader(folder, 0, False).documents)
    except (OSError, ValueError, KeyError):
        return None


def _without(benchmark: Benchmark, reason: str) -> QuestionTexts:
    return QuestionTexts([None] * benchmark.num_questions, reason)


def _job_folders(run: Run) -> dict[str, Path]:
    parser = configparser.ConfigParser(
        strict=False, interpolation=None, comment_prefixes=("#", ";"), delimiters=("=",)
    )
    try:
        parser.read_string(str(run.attributes.get("job", "")))
    except configparser.Error:
        return {}
    section = parser["benchmarks"] if parser.has_section("benchmarks") else {}
    return {name: Path(section[name]) for name in run.benchmarks if section.get(name)}


def _from_samples(benchmark: Benchmark, samples: SampleSet) -> QuestionTexts:
    by_key = {
        (row["subject"], int(row["doc_id"])): row
        for row in samples.questions[benchmark.name].to_dict("records")
    }
    texts: list[QuestionText | None] = []
    for question in benchmark.questions.itertuples():
        row: Any = by_key.get((str(question.subject), int(str(question.doc_id))))
        if row is None:
            texts.append(None)
            continue
        doc = row["doc"]
        is_same = row["prompt_sha256"] == question.prompt_sha256
        texts.append(
            QuestionText(
                str(doc.get("question", "")),
                tuple(str(choice) for choice in doc.get("choices", ())),
                str(doc.get("answer", "")) if benchmark.kind == "generation" else "",
                row["prompt"] if is_same else "",
            )
        )
    return QuestionTexts(texts, f"samples {samples.label}")


def _from_folder(run: Run, benchmark: Benchmark, folder: Path) -> QuestionTexts:
    if benchmark.name not in _READERS:
        return _without(benchmark, f"texts of {benchmark.name} are not known here")
    shots = int(benchmark.attributes.get("shots", 0))
    # The archive does not say how exemplars were chosen; the digests do.
    readings = [
        _verified(benchmark, _READERS[benchmark.name](folder, shots, is_fixed))
        for is_fixed in (False, True)
    ]
    best = max(readings, key=lambda texts: sum(bool(text and text.prompt) for text in texts))
    return QuestionTexts(best, f"{folder}")


def _verified(benchmark: Benchmark, reader: Any) -> list[QuestionText | None]:
    texts: list[QuestionText | None] = []
    for question in benchmark.questions.itertuples():
        key = (str(question.subject), int(str(question.doc_id)))
        text = reader.documents.get(key)
        if text is not None:
            prompt = reader.prompt(*key)
            is_same = hashlib.sha256(prompt.encode()).hexdigest() == question.prompt_sha256
            text = _with_prompt(text, prompt) if is_same else text
        texts.append(text)
    return texts


def _with_prompt(text: QuestionText, prompt: str) -> QuestionText:
    return QuestionText(text.question, text.choices, text.solution, prompt)


class _Mmlu:
    """test/SUBJECT_test.csv and dev/SUBJECT_dev.csv, as lm-evaluation-harness puts them."""

    def __init__(self, folder: Path, shots: int, is_fixed: bool) -> None:
        self._folder, self._shots = folder, shots
        self.documents: dict[tuple[str, int], QuestionText] = {}
        for path in sorted((folder / "test").glob("*_test.csv")):
            subject = path.name.removesuffix("_test.csv")
            for doc_id, row in enumerate(_csv_rows(path)):
                text = QuestionText(row[0], tuple(row[1:5]))
                self.documents[subject, doc_id] = text

    def prompt(self, subject: str, doc_id: int) -> str:
        return self._prefix(subject) + self._block(self.documents[subject, doc_id])

    @functools.cache  # noqa: B019 - lives as long as the report is made
    def _prefix(self, subject: str) -> str:
        about = subject.replace("_", " ")
        text = f"The following are multiple choice questions (with answers) about {about}.\n\n"
        if self._shots == 0:
            return text
        rows = _csv_rows(self._folder / "dev" / f"{subject}_dev.csv")
        for row in rows[: self._shots]:
            answer = LETTERS[int(row[5])] if row[5].isdigit() else row[5]
            text += f"{self._block(QuestionText(row[0], tuple(row[1:5])))} {answer}\n\n"
        return text

    @staticmethod
    def _block(text: QuestionText) -> str:
        lines = [f"{letter}. {c}" for letter, c in zip(LETTERS, text.choices, strict=True)]
        return "\n".join([text.question.strip(), *lines, "Answer:"])


class _Gsm8k:
    """test.jsonl and train.jsonl, exemplars drawn as lm-evaluation-harness does."""

    def __init__(self, folder: Path, shots: int, is_fixed: bool) -> None:
        self.documents: dict[tuple[str, int], QuestionText] = {}
        for doc_id, row in enumerate(_json_rows(folder / "test.jsonl")):
            self.documents["", doc_id] = QuestionText(row["question"], solution=row["answer"])
        self._train = _json_rows(folder / "train.jsonl") if shots else []
        generator = random.Random(_FEWSHOT_SEED)
        places = range(len(self._train))
        self._exemplars = [
            list(range(shots)) if is_fixed else generator.sample(places, shots)
            for _ in self.documents
        ]

    def prompt(self, subject: str, doc_id: int) -> str:
        blocks = []
        for place in self._exemplars[doc_id]:
            row = self._train[place]
            blocks.append(f"Question: {row['question']}\nAnswer: {row['answer']}\n\n")
        return "".join(blocks) + f"Question: {self.documents[subject, doc_id].question}\nAnswer:"


_READERS: Mapping[str, Any] = {"mmlu": _Mmlu, "gsm8k": _Gsm8k}


def _csv_rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if rows and rows[0][:2] == ["question", "choice0"]:
        rows = rows[1:]
    for number, row in enumerate(rows, start=1):
        if len(row) < 6:
            raise ValueError(f"{path}: row {number} has {len(row)} fields, not 6")
    return rows


def _json_rows(path: Path) -> list[dict[str, str]]:
    rows = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                row = json.loads(line)
                rows.append({"question": str(row["question"]), "answer": str(row["answer"])})
    return rows
