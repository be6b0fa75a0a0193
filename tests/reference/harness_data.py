"""MMLU and GSM8K for lm-evaluation-harness from the repository's files, in place of the hub's data sets."""

import csv
import json
import os
import pathlib

import datasets

DATA = pathlib.Path(
    os.environ.get("PRUNE_SWEEP_DATA_DIR", pathlib.Path(__file__).resolve().parents[2] / "build/release/data"))


def mmlu_rows(subject, split):
    with open(DATA / "mmlu" / split / f"{subject}_{split}.csv", encoding="utf-8", newline="") as file:
        return [
            dict(question=row["question"], subject=subject, choices=[row[f"choice{i}"] for i in range(4)],
                 answer=int(row["answer"]))
            for row in csv.DictReader(file)
        ]


def gsm8k_rows(split):
    with open(DATA / "gsm8k" / f"{split}.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def load_dataset(path, name=None, **_):
    """Stands in for datasets.load_dataset."""
    if path == "openai/gsm8k":
        return datasets.DatasetDict({s: datasets.Dataset.from_list(gsm8k_rows(s)) for s in ("train", "test")})
    features = datasets.Features({
        "question": datasets.Value("string"),
        "subject": datasets.Value("string"),
        "choices": datasets.Sequence(datasets.Value("string")),
        "answer": datasets.ClassLabel(names=["A", "B", "C", "D"])})
    return datasets.DatasetDict(
        {s: datasets.Dataset.from_list(mmlu_rows(name, s), features=features) for s in ("test", "dev")})
