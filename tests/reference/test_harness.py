"""lm-evaluation-harness itself on the same models and questions: every field of every sample.

Its data sets come from local files and its models from memory; nothing else of it is replaced.
"""

import json
import math
import os
import random
import shutil
import subprocess

os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import pytest
import torch
import transformers
from lm_eval import evaluator
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM

import models
from harness_data import DATA, load_dataset, mmlu_rows

TOKENIZER = DATA / "qwen3-0.6b"
SUBJECTS = ["abstract_algebra", "nutrition", "virology"]
QUESTIONS = 4
NEW_TOKENS = 24
DROPPED = 13
PERCENT = 50


@pytest.fixture(autouse=True)
def local_data(monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)


def harness(model, tasks, **settings):
    """{task: samples} of the harness."""
    return evaluator.simple_evaluate(
        model=model, tasks=tasks, num_fewshot=5, limit=QUESTIONS, log_samples=True, bootstrap_iters=0, **settings,
    )["samples"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """28 random layers under the real tokenizer."""
    path = tmp_path_factory.mktemp("model")
    shape = models.Shape(
        layers=28, hidden=64, intermediate=96, heads=4, kv_heads=2, head_dim=32, vocab=151936, tied=True)
    models.make_checkpoint.write_checkpoint(path, shape, tokenizer=TOKENIZER, dtype="float32")
    return path


@pytest.fixture(scope="module")
def mmlu_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("mmlu")
    for split in ("test", "dev"):
        (path / split).mkdir()
        for subject in SUBJECTS:
            shutil.copy(DATA / "mmlu" / split / f"{subject}_{split}.csv", path / split)
    return path


@pytest.fixture(scope="module")
def job(tmp_path_factory, checkpoint, mmlu_dir):
    path = tmp_path_factory.mktemp("job") / "job.ini"
    path.write_text(
        f"[model]\npath = {checkpoint}\ndtype = float32\n"
        f"[sweep]\nlayers = {DROPPED}\nmagnitude = {PERCENT}\n"
        f"[benchmarks]\nmmlu = {mmlu_dir}\ngsm8k = {DATA / 'gsm8k'}\nlimit = {QUESTIONS}\n"
        f"max-new-tokens = {NEW_TOKENS}\n"
        f"[output]\ndir = {path.parent / 'run'}\n")
    return path


def prune_sweep(*arguments):
    done = subprocess.run(
        [models.BIN / "prune-sweep", *map(str, arguments)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(job):
    prune_sweep(job)
    return job.parent / "run"


def edited(path, variant):
    """transformers' model with what the variant's name says done to it by PyTorch."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager").eval()
    if variant.startswith("drop"):
        del model.model.layers[DROPPED]
        for index, layer in enumerate(model.model.layers):
            layer.self_attn.layer_idx = index
        model.config.num_hidden_layers -= 1
        model.config.layer_types = model.config.layer_types[:-1]
    elif variant.startswith("magnitude"):
        for module in model.model.layers.modules():
            if isinstance(module, torch.nn.Linear):
                weights = module.weight.data.view(-1)
                order = torch.sort(weights.abs(), stable=True).indices
                weights[order[: len(weights) * PERCENT // 100]] = 0
    return model


def our_samples(run, variant, benchmark):
    lines = prune_sweep("samples", run, f"--benchmark={benchmark}", f"--variant={variant}").splitlines()
    return [json.loads(line) for line in lines]


def as_written(sample):
    """A sample as --log_samples writes it."""
    sample = dict(sample)
    arguments = {}
    for i, argument in enumerate(sample["arguments"]):
        arguments[f"gen_args_{i}"] = {f"arg_{j}": part for j, part in enumerate(argument)}
    sample["arguments"] = arguments
    sample["target"] = str(sample["target"])
    return sample


def without(sample, *fields):
    return {key: value for key, value in sample.items() if key not in fields}


@pytest.mark.parametrize("variant", ["baseline", f"drop-{DROPPED}", f"magnitude-{PERCENT}"])
def test_every_sample_is_the_harness_one(run, checkpoint, variant, report):
    model = HFLM(
        pretrained=edited(checkpoint, variant),
        tokenizer=transformers.AutoTokenizer.from_pretrained(checkpoint), batch_size=1, max_length=4096)
    theirs = harness(
        model, [f"mmlu_{subject}" for subject in SUBJECTS] + ["gsm8k"], gen_kwargs=f"max_gen_toks={NEW_TOKENS}")

    ours = our_samples(run, variant, "mmlu")
    expected = [as_written(sample) for subject in SUBJECTS for sample in theirs[f"mmlu_{subject}"]]
    assert len(ours) == len(expected) == QUESTIONS * len(SUBJECTS)
    largest = 0.0
    for own, other in zip(ours, expected, strict=True):
        for own_response, other_response in zip(own["filtered_resps"], other["filtered_resps"], strict=True):
            difference = abs(float(own_response[0]) - float(other_response[0]))
            assert difference <= 1e-4
            largest = max(largest, difference)
            assert str(own_response[1]) == str(other_response[1])
        assert list(own) == list(other)
        assert without(own, "resps", "filtered_resps") == without(other, "resps", "filtered_resps")

    ours = our_samples(run, variant, "gsm8k")
    key = lambda sample: (sample["doc_id"], sample["filter"])  # noqa: E731
    expected = sorted((as_written(sample) for sample in theirs["gsm8k"]), key=key)
    assert len(ours) == len(expected) == 2 * QUESTIONS
    for own, other in zip(sorted(ours, key=key), expected, strict=True):
        assert own == json.loads(json.dumps(other))
    documents = len(SUBJECTS) * QUESTIONS + QUESTIONS
    report.append(f"lm-eval, {variant}: {documents} documents equal, largest difference {largest:.2g}")


class Silent(LM):
    """Has a chat template and answers nothing: prompts do not depend on answers."""

    tokenizer_name = "qwen3"

    def __init__(self, **template_arguments):
        super().__init__()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(TOKENIZER)
        self.template_arguments = template_arguments

    def chat_template(self, chat_template=False):
        return self.tokenizer.chat_template

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
        return self.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt, **self.template_arguments)

    def loglikelihood(self, requests):
        self.continuations = {request.args[1] for request in requests}
        return [(-1.0, False)] * len(requests)

    def generate_until(self, requests):
        return [""] * len(requests)

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError


def questions(job, *overrides):
    """{benchmark: [question as an object]} of a job's plan."""
    plan = json.loads(prune_sweep("plan", job, "--json", *overrides))
    return {
        benchmark["name"]: [dict(zip(benchmark["question_fields"], row, strict=True)) for row in benchmark["questions"]]
        for benchmark in plan["benchmarks"]
    }


@pytest.mark.parametrize("turns", ["multi-turn", "single-turn"])
@pytest.mark.parametrize("thinking", ["off", "on"])
def test_chat_prompts_are_the_harness_ones(job, turns, thinking):
    model = Silent(enable_thinking=thinking == "on")
    tasks = ["gsm8k"]
    overrides = [f"--benchmarks.chat-template={turns}", f"--benchmarks.thinking={thinking}"]
    if thinking == "on":
        alone = job.parent / "gsm8k.ini"
        alone.write_text("\n".join(line for line in job.read_text().splitlines() if not line.startswith("mmlu")))
        job = alone
    else:
        tasks += [f"mmlu_{subject}" for subject in SUBJECTS]
    theirs = harness(model, tasks, apply_chat_template=True, fewshot_as_multiturn=turns == "multi-turn")
    ours = questions(job, *overrides)
    hashes = {sample["doc_id"]: sample["prompt_hash"] for sample in theirs["gsm8k"]}
    assert {q["doc_id"]: q["prompt_sha256"] for q in ours["gsm8k"]} == hashes
    if thinking == "on":
        return
    for subject in SUBJECTS:
        hashes = {sample["doc_id"]: sample["prompt_hash"] for sample in theirs[f"mmlu_{subject}"]}
        assert {q["doc_id"]: q["prompt_sha256"] for q in ours["mmlu"] if q["subject"] == subject} == hashes
    assert model.continuations == {"A", "B", "C", "D"}


@pytest.mark.parametrize("shots", [0, 1, 3])
def test_prompts_with_fewer_shots_are_the_harness_ones(job, shots):
    theirs = evaluator.simple_evaluate(
        model=Silent(), tasks=["gsm8k", "mmlu_virology"], num_fewshot=shots, limit=QUESTIONS, log_samples=True,
        bootstrap_iters=0)["samples"]
    ours = questions(job, f"--benchmarks.mmlu-shots={shots}", f"--benchmarks.gsm8k-shots={shots}")
    assert [q["prompt_sha256"] for q in ours["gsm8k"]] == [
        sample["prompt_hash"] for sample in sorted(theirs["gsm8k"], key=lambda s: s["doc_id"])
        if sample["filter"] == "strict-match"]
    assert [q["prompt_sha256"] for q in ours["mmlu"] if q["subject"] == "virology"] == [
        sample["prompt_hash"] for sample in theirs["mmlu_virology"]]


def test_a_sample_is_drawn_as_python_draws_it(job):
    count, seed = 50, 99
    ours = questions(job, "--benchmarks.limit=all", f"--benchmarks.sample={count}", f"--benchmarks.seed={seed}")
    sizes = [len(mmlu_rows(subject, "test")) for subject in SUBJECTS]
    exact = [count * size / sum(sizes) for size in sizes]
    shares = [math.floor(share) for share in exact]
    for index in sorted(range(len(sizes)), key=lambda i: shares[i] - exact[i])[: count - sum(shares)]:
        shares[index] += 1
    generator = random.Random(seed)
    expected = [
        (subject, doc_id)
        for subject, size, share in zip(SUBJECTS, sizes, shares, strict=True)
        for doc_id in sorted(generator.sample(range(size), share))
    ]
    assert [(q["subject"], q["doc_id"]) for q in ours["mmlu"]] == expected
    assert [q["doc_id"] for q in ours["gsm8k"]] == sorted(random.Random(seed).sample(range(1319), count))


def test_a_question_has_the_same_prompt_in_every_selection(job):
    whole = {q["doc_id"]: q["prompt_sha256"] for q in questions(job, "--benchmarks.limit=12")["gsm8k"]}
    named = questions(job, "--benchmarks.gsm8k-ids=3,7-9", "--benchmarks.mmlu-ids=virology:5")
    assert {q["doc_id"]: q["prompt_sha256"] for q in named["gsm8k"]} == {i: whole[i] for i in (3, 7, 8, 9)}
    assert [(q["subject"], q["doc_id"]) for q in named["mmlu"]] == [("virology", 5)]
