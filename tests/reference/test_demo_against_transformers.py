"""The demo's baseline against transformers on the same questions: same predictions, same log-likelihoods."""

import json
import os
import pathlib
import subprocess

import h5py
import numpy
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PRUNE_SWEEP_BIN", ROOT / "build/release/bin"))
MODEL = ROOT / "jobs/demo/model"
STOPS = ["Question:", "</s>", "<|im_end|>"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("float32") / "run"
    subprocess.run(
        [BIN / "prune-sweep", ROOT / "jobs/demo.ini", "--model.dtype=float32", "--sweep.layers=none",
         "--sweep.magnitude=none", f"--output.dir={path}"],
        check=True, capture_output=True, timeout=600,
    )
    return path


def samples(run, benchmark):
    lines = subprocess.run(
        [BIN / "prune-sweep", "samples", run, f"--benchmark={benchmark}", "--variant=baseline"],
        check=True, capture_output=True, text=True,
    ).stdout
    return [json.loads(line) for line in lines.splitlines()]


@pytest.fixture(scope="module")
def reference():
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(MODEL)


def test_multiple_choice_log_likelihoods_agree(run, reference):
    model, tokenizer = reference
    largest = 0
    rows = samples(run, "mmlu")
    assert len(rows) >= 200
    for row in rows:
        prompt = row["arguments"]["gen_args_0"]["arg_0"]
        ours = numpy.array([float(response[0][0]) for response in row["resps"]])
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        letters = [tokenizer(prompt + f" {letter}").input_ids[ids.shape[1]] for letter in "ABCD"]
        with torch.no_grad():
            logprobs = torch.log_softmax(model(ids).logits[0, -1].float(), -1)
        theirs = logprobs[letters].numpy()
        largest = max(largest, abs(ours - theirs).max())
        assert ours.argmax() == theirs.argmax()
    print(f"{len(rows)} questions, largest difference {largest:.2g}")
    assert largest <= 1e-4


def test_generated_answers_agree(run, reference):
    model, tokenizer = reference
    rows = [row for row in samples(run, "gsm8k") if row["filter"] == "strict-match"]
    assert len(rows) >= 60
    for row in rows:
        prompt = row["arguments"]["gen_args_0"]["arg_0"]
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            output = model.generate(
                ids, max_new_tokens=48, do_sample=False, pad_token_id=0, stop_strings=STOPS, tokenizer=tokenizer)
        text = tokenizer.decode(output[0, ids.shape[1]:], skip_special_tokens=True)
        for stop in STOPS:
            text = text.split(stop)[0]
        assert row["resps"][0][0] == text


def test_gold_solutions_have_the_same_likelihood(run, reference):
    model, tokenizer = reference
    largest = 0
    rows = [row for row in samples(run, "gsm8k") if row["filter"] == "strict-match"]
    with h5py.File(run / "archive.h5") as archive:
        ours = archive["benchmarks/gsm8k/gold_loglik"][0]
        lengths = archive["benchmarks/gsm8k/questions/gold_tokens"][:]
    for row, own, length in zip(rows, ours, lengths, strict=True):
        prompt = row["arguments"]["gen_args_0"]["arg_0"]
        start = tokenizer(prompt, return_tensors="pt").input_ids.shape[1]
        ids = tokenizer(prompt + " " + row["target"], return_tensors="pt").input_ids
        assert ids.shape[1] - start == length
        with torch.no_grad():
            logprobs = torch.log_softmax(model(ids).logits[0].float(), -1)
        theirs = logprobs[range(start - 1, ids.shape[1] - 1), ids[0, start:]].sum().item()
        largest = max(largest, abs(own - theirs))
    print(f"{len(rows)} solutions, largest difference {largest:.2g}")
    assert largest <= 1e-3  # a sum over some fifty tokens, each within 1e-4
