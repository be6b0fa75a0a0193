"""Archives of any size with made-up answers, written with h5py alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

ROOT = {
    "format": "prune-sweep",
    "format_major": np.int32(1),
    "format_minor": np.int32(0),
    "state": "complete",
    "run_id": "0123456789abcdef",
    "plan_sha256": "0" * 64,
    "model_sha256": "",
    "tokenizer_sha256": "0" * 64,
    "dtype": "bfloat16",
    "num_layers": np.int32(28),
    "num_parameters": np.int64(596_049_920),
    "job": "[benchmarks]\nmmlu = /nowhere/mmlu\n",
    "command_line": "prune-sweep",
    "program_version": "0.1.0",
    "git_commit": "0" * 12,
    "torch_version": "2.11.0",
    "device": "cpu",
    "created_utc": "2026-01-01T00:00:00Z",
}
SWEEP = [
    ("baseline", ""),
    *((f"drop-{layer:02}", f"{layer} drop") for layer in range(28)),
    *((f"magnitude-{p:02}", f"0-27 magnitude {p}") for p in range(0, 100, 10)),
]


def texts(values: Sequence[str]) -> np.ndarray:
    encoded = [value.encode() for value in values]
    return np.array(encoded, dtype=f"S{max(1, *map(len, encoded))}")


def write_archive(path: Path, variants: Sequence[tuple[str, str]]) -> h5py.File:
    """An archive without benchmarks, still open."""
    file = h5py.File(path, "w")
    for name, value in ROOT.items():
        file.attrs[name] = value
    file.attrs.create("hosts", ["alpha"], dtype=h5py.string_dtype())
    group = file.create_group("variants")
    group["name"] = texts([name for name, _ in variants])
    group["edits"] = texts([edits for _, edits in variants])
    group["num_parameters_removed"] = np.zeros(len(variants), np.int64)
    group["sparsity_blocks"] = group["sparsity_model"] = np.zeros(len(variants))
    units = file.create_group("audit/units")
    for name, values in {
        "event": np.arange(4, dtype=np.int32),
        "unit": np.arange(4, dtype=np.int32),
        "attempt": np.ones(4, np.int32),
        "rank": np.array([0, 1, 0, 1], np.int32),
        "host": texts(["alpha"] * 4),
        "started_s": np.array([0.0, 0.1, 5.0, 4.0]),
        "elapsed_s": np.array([4.5, 3.5, 3.0, 5.0]),
        "outcome": texts(["committed"] * 4),
    }.items():
        units[name] = values
    return file


def add_questions(group: h5py.Group, subjects: Sequence[str], gold: np.ndarray, kind: str) -> None:
    group.attrs["kind"] = kind
    group.attrs["shots"] = np.int32(5)
    group.attrs["rules"] = "rules"
    group.attrs["selection"] = "limit all"
    n = len(subjects)
    group["question"] = np.arange(n, dtype=np.int32)
    doc_ids: dict[str, int] = {}
    listed = []
    for subject in subjects:
        listed.append(doc_ids.get(subject, 0))
        doc_ids[subject] = listed[-1] + 1
    questions = group.create_group("questions")
    questions["subject"] = texts(subjects)
    questions["doc_id"] = np.array(listed, np.int32)
    questions["gold"] = gold
    questions["prompt_sha256"] = texts(["0" * 64] * n)
    questions["prompt_tokens"] = np.full(n, 100, np.int32)


def add_choices(
    file: h5py.File, name: str, subjects: Sequence[str], loglik: np.ndarray, gold: np.ndarray
) -> None:
    """A benchmark of multiple choice from log-likelihoods [variant, question, choice]."""
    group = file.create_group(f"benchmarks/{name}")
    add_questions(group, subjects, gold.astype(np.int32), "multiple-choice")
    correct = (loglik.argmax(axis=2) == gold).astype(np.uint8)
    shifted = np.exp(loglik - loglik.max(axis=2, keepdims=True))
    share = np.take_along_axis(shifted, gold[None, :, None], 2)[..., 0] / shifted.sum(axis=2)
    add_column(group, "correct", correct, "0=wrong 1=correct 255=not evaluated")
    add_column(group, "loglik", loglik.astype(np.float32))
    add_column(group, "gold_probability", share.astype(np.float32))


def add_column(group: h5py.Group, name: str, values: np.ndarray, labels: str = "") -> None:
    fill = np.nan if values.dtype.kind == "f" else 255
    data_set = group.create_dataset(
        name,
        data=values,
        chunks=(1, *values.shape[1:]),
        compression="gzip",
        compression_opts=1,
        shuffle=True,
        fillvalue=fill,
    )
    if labels:
        data_set.attrs["labels"] = labels


def add_generation(
    file: h5py.File,
    name: str,
    gold: Sequence[str],
    correct: np.ndarray,
    columns: dict[str, list[list[str]]],
) -> None:
    """A benchmark of generated answers; ``columns`` are texts [variant][question]."""
    group = file.create_group(f"benchmarks/{name}")
    add_questions(group, [""] * len(gold), texts(gold), "generation")
    labels = "0=wrong 1=correct 255=not evaluated"
    add_column(group, "strict_correct", correct.astype(np.uint8), labels)
    add_column(group, "flexible_correct", correct.astype(np.uint8), labels)
    tokens = np.full(correct.shape, 9, np.int32)
    group.create_dataset("generated_tokens", data=tokens, fillvalue=-1)
    for column, rows in columns.items():
        encoded = [[text.encode() for text in row] for row in rows]
        sizes = np.array([[len(text) for text in row] for row in encoded])
        ends = np.cumsum(sizes.reshape(-1)).reshape(sizes.shape)
        begins = np.concatenate([[0], ends[:-1, -1]])[:, None]
        part = group.create_group(column)
        part["offsets"] = np.concatenate([begins, ends], axis=1).astype(np.uint64)
        joined = b"".join(b"".join(row) for row in encoded)
        part.create_dataset("bytes", data=np.frombuffer(joined, np.uint8), compression="gzip")


def full_run(path: Path, num_choice: int, num_generated: int, seed: int = 1) -> None:
    """The report's 39 variants on so many questions of MMLU, in 57 subjects, and GSM8K."""
    random = np.random.default_rng(seed)
    num_variants = len(SWEEP)
    ability = np.array([0.8, *random.uniform(-1.5, 0.8, 28), *np.linspace(0.8, -1.5, 10)])
    with write_archive(path, SWEEP) as file:
        gold = random.integers(0, 4, num_choice)
        loglik = random.normal(-3, 1.5, (1, num_choice, 4)) + random.normal(
            0, 0.7, (num_variants, num_choice, 4)
        )
        loglik[:, np.arange(num_choice), gold] += 1.5 * ability[:, None] + 1
        subjects = np.sort(random.integers(0, 57, num_choice))
        add_choices(file, "mmlu", [f"subject_{s:02}" for s in subjects], loglik, gold)
        answers = random.integers(1, 1000, num_generated)
        easy = random.normal(0, 1, num_generated)
        noise = random.normal(0, 1, (num_variants, num_generated))
        correct = easy + noise < ability[:, None]
        words = "the of each has and so there are left then more apples".split()  # noqa: SIM905
        responses, strict = [], []
        for v in range(num_variants):
            picked = random.integers(0, len(words), (num_generated, 60))
            row, own = [], []
            for q in range(num_generated):
                number = str(answers[q] + (0 if correct[v, q] else 1 + v))
                row.append(" ".join(words[i] for i in picked[q]) + f"\n#### {number}\n")
                own.append(number)
            responses.append(row)
            strict.append(own)
        columns = {"response": responses, "strict_answer": strict, "flexible_answer": strict}
        add_generation(file, "gsm8k", [str(a) for a in answers], correct, columns)
