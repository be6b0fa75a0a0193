"""What the question explorer shows: questions, and every variant's answers to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from prune_sweep.benchmark import Benchmark
from prune_sweep.question_texts import QuestionTexts
from prune_sweep.report.blocks import Blocks
from prune_sweep.run import Run

#: Questions whose texts are unpacked together.
_CHUNK = 40
#: Log-likelihoods are kept in hundredths of a nat; this stands for none.
_NO_LOGLIK = -32768


def add_explorer(run: Run, texts: dict[str, QuestionTexts], blocks: Blocks) -> dict[str, Any]:
    """Add the explorer's blocks. Returns what its script has to know of them, for JSON.

    Numbers of all questions go in first, then texts, those of the questions first that most
    variants answer differently, as far as the page has room.
    """
    names = [str(name) for name in run.variants.index]
    found: list[dict[str, Any]] = []
    for name, benchmark in run.benchmarks.items():
        scores = np.stack([np.ma.filled(benchmark.score(s), 255) for s in benchmark.scores])
        blocks.add_numbers(f"{name}-scores", scores.astype(np.uint8))
        found.append(
            {
                "name": name,
                "label": name.upper(),
                "kind": benchmark.kind,
                "scores": list(benchmark.scores),
                "num_questions": benchmark.num_questions,
                "num_choices": 0,
                "source": texts[name].source,
            }
        )
    for entry, (name, benchmark) in zip(found, run.benchmarks.items(), strict=True):
        if "loglik" in benchmark.columns:
            values = _hundredths(benchmark.loglik)
            entry["num_choices"] = values.shape[2]
            entry["has_loglik"] = blocks.add_numbers(f"{name}-loglik", values)
        questions = benchmark.questions
        blocks.add_json(
            f"{name}-questions",
            {
                "subject": questions["subject"].tolist(),
                "doc_id": questions["doc_id"].tolist(),
                "gold": questions["gold"].tolist(),
                "prompt_tokens": questions["prompt_tokens"].tolist(),
            },
        )
    for entry, (name, benchmark) in zip(found, run.benchmarks.items(), strict=True):
        entry["chunk"] = _CHUNK
        entry["order"] = _most_disputed_first(benchmark)
        entry["num_texts"] = _add_texts(benchmark, texts[name], entry["order"], blocks)
    return {"variants": names, "benchmarks": found}


def _hundredths(loglik: np.ndarray) -> np.ndarray:
    is_there = np.isfinite(loglik)
    scaled = np.clip(np.round(np.where(is_there, loglik, 0) * 100), -32767, 32767)
    return np.where(is_there, scaled, _NO_LOGLIK).astype(np.int16)


def _most_disputed_first(benchmark: Benchmark) -> list[int]:
    scores = np.ma.filled(benchmark.correct.astype(float), np.nan)
    with np.errstate(invalid="ignore"):
        share = np.nan_to_num(scores).mean(axis=0)
    return [int(place) for place in np.argsort(np.abs(share - 0.5), kind="stable")]


def _add_texts(benchmark: Benchmark, texts: QuestionTexts, order: list[int], blocks: Blocks) -> int:
    """Add texts in chunks. Returns the number of questions, in ``order``, that have theirs."""
    columns = [c for c in ("response", benchmark.answer_column, "flexible_answer") if c]
    columns = [c for c in dict.fromkeys(columns) if c in benchmark.columns]
    by_variant = {
        column: [benchmark.texts(column, str(name)).tolist() for name in benchmark.variants]
        for column in columns
    }
    done = 0
    for first in range(0, len(order), _CHUNK):
        chunk = []
        for place in order[first : first + _CHUNK]:
            text = texts.texts[place]
            entry: dict[str, Any] = {c: [v[place] for v in by_variant[c]] for c in columns}
            if text is not None:
                entry["question"] = text.question
                entry["choices"] = list(text.choices)
                entry["solution"] = text.solution
                entry["prompt"] = text.prompt
            chunk.append(entry)
        if not blocks.add_json(f"{benchmark.name}-texts-{first // _CHUNK}", chunk):
            break
        done += len(chunk)
    return done
