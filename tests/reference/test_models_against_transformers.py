"""Models of every family, plain and edited, against transformers: log-probabilities and greedy texts.

A family of the program's table that has no model here fails test_every_family_is_compared."""

import dataclasses
import re

import numpy
import pytest
import torch

from models import (
    Shape, by_id, edited, greedy_ids, logprobs, make_checkpoint, random_ids, reference, run_score, score,
    write_byte_tokenizer)

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
ROPE_IN_PARAMETERS = {"rope_theta": ..., "rope_parameters": {"rope_theta": 5e5, **LLAMA3}}


@dataclasses.dataclass
class Model:
    shape: Shape
    stored: str = "bfloat16"
    shards: int = 1
    changes: dict = dataclasses.field(default_factory=dict)  # of config.json


def other(architecture, **shape):
    return Shape(architecture=architecture, layers=3, hidden=64, intermediate=96, heads=4, kv_heads=2, head_dim=16,
                 vocab=300, **shape)


# Grouped attention of 1, 2 and 4, head_dim apart from hidden / heads, heads tied and not, 2 to 28 layers, odd sizes.
MODELS = {
    "qwen3": Model(Shape()),
    "qwen3-multi-head": Model(
        Shape(layers=3, hidden=48, intermediate=80, heads=4, kv_heads=4, head_dim=12, vocab=300), shards=2),
    "qwen3-wide-heads": Model(
        Shape(layers=2, hidden=40, intermediate=72, heads=8, kv_heads=2, head_dim=32, vocab=257, tied=True)),
    "qwen3-one-kv-head": Model(
        Shape(layers=3, hidden=64, intermediate=50, heads=4, kv_heads=1, head_dim=6, vocab=301), shards=3),
    "qwen3-demo": Model(
        Shape(layers=4, hidden=96, intermediate=192, heads=4, kv_heads=2, head_dim=32, vocab=736, tied=True,
              rope_theta=1e4)),
    "qwen3-stored-tied-head": Model(Shape(layers=2, vocab=500, tied=True, stored_tied_head=True, norm_eps=1e-5)),
    "qwen3-deep": Model(
        Shape(layers=28, hidden=32, intermediate=64, heads=4, kv_heads=2, head_dim=16, vocab=300, tied=True)),
    "qwen3-float16": Model(Shape(layers=3, tied=True), stored="float16"),
    "qwen3-float32": Model(Shape(layers=3), stored="float32", shards=2),
    "qwen2": Model(other("Qwen2ForCausalLM")),
    "qwen2-tied": Model(other("Qwen2ForCausalLM", tied=True), stored="float32"),
    "llama": Model(other("LlamaForCausalLM", norm_eps=1e-5)),
    "llama-2": Model(other("LlamaForCausalLM"), changes={"rope_theta": ..., "head_dim": ...}, stored="float16"),
    "llama-3": Model(other("LlamaForCausalLM", tied=True, rope_theta=5e5), changes={"rope_scaling": LLAMA3}, shards=2),
    "llama-3-rope-parameters": Model(other("LlamaForCausalLM"), changes=ROPE_IN_PARAMETERS),
    "llama-linear": Model(
        other("LlamaForCausalLM", rope_theta=1e4), changes={"rope_scaling": {"type": "linear", "factor": 4.0}}),
    "mistral": Model(other("MistralForCausalLM")),
    "mistral-window": Model(other("MistralForCausalLM"), changes={"sliding_window": 4096}),
}
MANY_VARIANTS = [
    "qwen3", "qwen3-multi-head", "qwen3-wide-heads", "qwen3-one-kv-head", "qwen3-demo", "qwen3-stored-tied-head",
    "qwen2", "llama-3", "mistral"]
LENGTHS = [1, 2, 15, 16, 17, 100, 128, 129, 300]
PROMPTS = ["Question: What?\nAnswer:", "日本語"]
NEW_TOKENS = 12


@dataclasses.dataclass
class Variant:
    dropped: tuple = ()
    percent: int | None = None

    def options(self):
        drop = ["--drop", ",".join(map(str, self.dropped))] if self.dropped else []
        return drop + (["--magnitude", self.percent] if self.percent is not None else [])


FEW_VARIANTS = [Variant(), Variant(dropped=(0,)), Variant(percent=50), Variant(dropped=(0,), percent=30)]


def variants_of(name, shape):
    if name not in MANY_VARIANTS:
        return FEW_VARIANTS
    everything = tuple(range(shape.layers))
    return FEW_VARIANTS + [Variant(dropped=dropped) for dropped in [(1,), everything]] + [
        Variant(percent=percent) for percent in [0, 7, 95]]


class Case:
    """A model on disk and as transformers reads it."""

    def __init__(self, name, path):
        self.name, self.path, model = name, path, MODELS[name]
        self.shape = model.shape
        make_checkpoint.write_checkpoint(
            path, model.shape, model.stored, shards=model.shards, seed=3, changes=model.changes)
        self.tokenizer = write_byte_tokenizer(path)
        self.model = reference(path)


@pytest.fixture(scope="module", params=MODELS)
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp(request.param))


class Tally:
    """What was compared, over all models."""

    def __init__(self):
        self.models, self.logprobs, self.texts, self.largest = set(), 0, 0, (0.0, "")
        self.sixteen_bits = {}

    def line(self):
        errors = ", ".join(f"{dtype} {ratio:.2f} x ({name})" for dtype, (ratio, name) in self.sixteen_bits.items())
        return (
            f"transformers: {len(self.models)} models, {self.logprobs} log-probabilities, largest float32 difference "
            f"{self.largest[0]:.2g} ({self.largest[1]}); {self.texts} greedy texts; largest errors beside transformers' own: {errors}")


@pytest.fixture(scope="module")
def tally(report):
    result = Tally()
    yield result
    report.append(result.line())


def test_every_family_is_compared(tmp_path):
    make_checkpoint.write_checkpoint(tmp_path, Shape(), changes={"architectures": ["NoSuchModel"]})
    refusal = run_score(tmp_path, []).stderr
    supported = re.search(r"Supported: (.*)\.$", refusal).group(1).split(", ")
    assert set(supported) == {model.shape.architecture for model in MODELS.values()}


def test_float32_agrees(case, tally):
    """Log-probabilities over the whole vocabulary, and greedy texts."""
    prompts = [random_ids(case.shape.vocab, length) for length in LENGTHS]
    requests = [{"ids": ids, "top": case.shape.vocab} for ids in prompts]
    requests += [{"prompt": text, "max_new_tokens": NEW_TOKENS, "until": []} for text in PROMPTS]
    for variant in variants_of(case.name, case.shape):
        answers = score(case.path, requests, "--dtype", "float32", *variant.options())
        with edited(case.model, variant.dropped, variant.percent or 0) as model:
            for ids, answer in zip(prompts, answers):
                difference = numpy.abs(by_id(answer, case.shape.vocab) - logprobs(model, ids)[-1]).max()
                tally.largest = max(tally.largest, (difference, case.name))
                tally.logprobs += case.shape.vocab
                assert difference < 1e-4, (variant, len(ids))
            for text, answer in zip(PROMPTS, answers[len(prompts):]):
                ids = greedy_ids(model, case.tokenizer.encode(text).ids, NEW_TOKENS, eos_ids=[0])
                assert answer["ids"] == ids, (variant, text)
                assert answer["text"] == case.tokenizer.decode(ids)
                tally.texts += 1
    tally.models.add(case.name)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bits_are_as_far_from_float32_as_transformers_is(case, tally, dtype):
    """Rounded at the same places, so the same error; the exact values differ with the order of sums. A few
    prompts alone may be off by a third either way."""
    rounded = reference(case.path, getattr(torch, dtype))
    prompts = [random_ids(case.shape.vocab, length, seed) for length in [20, 60, 129, 200] for seed in range(1, 13)]
    answers = score(
        case.path, [{"ids": ids, "top": case.shape.vocab} for ids in prompts], "--dtype", dtype)
    ours, theirs = [], []
    for ids, answer in zip(prompts, answers):
        truth = logprobs(case.model, ids)[-1]
        ours.append(numpy.square(by_id(answer, case.shape.vocab) - truth).mean())
        theirs.append(numpy.square(logprobs(rounded, ids)[-1] - truth).mean())
    ratio = numpy.sqrt(numpy.mean(ours) / numpy.mean(theirs))
    tally.sixteen_bits[dtype] = max(tally.sixteen_bits.get(dtype, (0, "")), (ratio, case.name))
    assert ratio < 1.2
    assert numpy.sqrt(numpy.mean(theirs)) < 0.1


def test_the_families_differ(tmp_path):
    """What a family adds changes the numbers: the comparison above would notice its loss."""
    ids, vocab = [1, 2, 3, 40, 5], 300
    makers = {
        "plain": {}, "linear": {"rope_scaling": {"type": "linear", "factor": 4.0}}, "llama3": {"rope_scaling": LLAMA3}}
    answers = []
    for name, changes in makers.items():
        make_checkpoint.write_checkpoint(tmp_path / name, other("LlamaForCausalLM"), changes=changes)
        answers.append(by_id(score(tmp_path / name, [{"ids": ids * 10, "top": vocab}])[0], vocab))
    for i, a in enumerate(answers):
        for b in answers[:i]:
            assert numpy.abs(a - b).max() > 1e-2
