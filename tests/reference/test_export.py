"""Exported variants as transformers loads them, against transformers with the same edits and against the program itself."""

import dataclasses
import json
import subprocess

import numpy
import pytest
import safetensors
import torch

from models import (
    BIN, Identity, Shape, by_id, edited, logprobs, make_checkpoint, random_ids, reference, score, write_byte_tokenizer)

LENGTHS = [1, 20, 150]
LAYER_TYPES = {"layer_types": ["full_attention"] * 6, "max_window_layers": 6}


@dataclasses.dataclass
class Model:
    shape: Shape
    stored: str = "bfloat16"
    shards: int = 1
    changes: dict = dataclasses.field(default_factory=dict)


MODELS = {
    "qwen3-stored-tied-head": Model(
        Shape(layers=6, vocab=300, tied=True, stored_tied_head=True), changes=LAYER_TYPES),
    "qwen3-untied-float32": Model(Shape(layers=6, vocab=300), stored="float32", shards=3),
    "qwen2-float16": Model(
        Shape(architecture="Qwen2ForCausalLM", layers=6, vocab=300, hidden=64, heads=4, head_dim=16),
        stored="float16", shards=2),
    "llama": Model(Shape(architecture="LlamaForCausalLM", layers=6, vocab=300), changes={"rope_theta": 5e5}),
}
JOB = """[model]
path = model
[sweep]
layers = 0,2
magnitude = 40
variant = mixed: 0 drop, 1 drop-attention, 3 drop-mlp, 4-5 magnitude 50
variant = rows: 1-3 magnitude 30 row
variant = everywhere: 0-5 magnitude 25 global
variant = nothing-left: 0-5 drop
[benchmarks]
mmlu = mmlu
[output]
dir = run
"""


def export(job, variant, out, *options):
    return subprocess.run(
        [BIN / "prune-sweep", "export", job, variant, out, *options], capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module", params=MODELS)
def job(request, tmp_path_factory):
    folder, model = tmp_path_factory.mktemp(request.param), MODELS[request.param]
    make_checkpoint.write_checkpoint(
        folder / "model", model.shape, model.stored, shards=model.shards, seed=5, changes=model.changes)
    write_byte_tokenizer(folder / "model")
    (folder / "job.ini").write_text(JOB)
    return folder / "job.ini"


def linears(layer):
    return [module for module in layer.modules() if isinstance(module, torch.nn.Linear)]


def zero_smallest(tensors, percent):
    """Of all of them together, ties by order and flat index."""
    flat = torch.cat([tensor.abs().reshape(-1) for tensor in tensors])
    smallest = torch.argsort(flat, stable=True)[:percent * flat.numel() // 100]
    keep = torch.ones(flat.numel(), dtype=torch.bool)
    keep[smallest] = False
    for tensor, mask in zip(tensors, keep.split([tensor.numel() for tensor in tensors])):
        tensor.mul_(mask.view(tensor.shape))


class NoAttention(torch.nn.Module):
    def forward(self, hidden_states, **_):
        return torch.zeros_like(hidden_states), None


class NoMlp(torch.nn.Module):
    def forward(self, hidden_states):
        return torch.zeros_like(hidden_states)


def edit_by_hand(model, variant):
    layers = model.model.layers
    with torch.no_grad():
        if variant == "mixed":
            layers[0], layers[1].self_attn, layers[3].mlp = Identity(), NoAttention(), NoMlp()
            for module in linears(layers[4]) + linears(layers[5]):
                zero_smallest([module.weight.data], 50)
        elif variant == "rows":
            for layer in layers[1:4]:
                for module in linears(layer):
                    for row in module.weight.data:
                        zero_smallest([row], 30)
        elif variant == "everywhere":
            zero_smallest([module.weight.data for layer in layers for module in linears(layer)], 25)
    return model


def logprobs_of(model, vocab):
    return [logprobs(model, random_ids(vocab, length)) for length in LENGTHS]


@pytest.mark.parametrize("variant, dropped, percent", [
    ("baseline", (), 0), ("drop-00", (0,), 0), ("drop-02", (2,), 0), ("magnitude-40", (), 40),
    ("mixed", (0,), 0), ("rows", (), 0), ("everywhere", (), 0)])
def test_an_exported_variant_is_the_edited_model(job, tmp_path, variant, dropped, percent):
    vocab, out = 300, tmp_path / "out"
    done = export(job, variant, out)
    assert done.returncode == 0, done.stderr
    original = reference(job.parent / "model")
    with edited(original, dropped, percent) as model:
        if variant in ["mixed", "rows", "everywhere"]:
            model = edit_by_hand(reference(job.parent / "model"), variant)
        expected = logprobs_of(model, vocab)
    exported = reference(out)
    assert exported.config.num_hidden_layers == 6 - len(dropped) == len(exported.model.layers)
    for ours, theirs in zip(logprobs_of(exported, vocab), expected):
        assert numpy.abs(ours - theirs).max() == 0

    # The program reads what it wrote, and finds the numbers of its own edits.
    requests = [{"ids": random_ids(vocab, length), "top": vocab} for length in LENGTHS]
    for answer, theirs in zip(score(out, requests, "--dtype", "float32"), expected):
        assert numpy.abs(by_id(answer, vocab) - theirs[-1]).max() < 1e-4
    if variant.startswith(("drop-", "magnitude-")):
        options = ["--drop", ",".join(map(str, dropped))] if dropped else ["--magnitude", str(percent)]
        assert score(out, requests) == score(job.parent / "model", requests, *options)
    assert (out / "tokenizer.json").read_bytes() == (job.parent / "model/tokenizer.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_the_files_say_what_was_done(job, tmp_path):
    done = export(job, "mixed", tmp_path / "out")
    assert "5 of 6 layers, numbered anew; the original's 1, 2, 3, 4, 5" in done.stdout
    assert "attention of the original's layers 1 adds nothing: o_proj is zero" in done.stdout
    before = json.loads((job.parent / "model/config.json").read_text())
    after = json.loads((tmp_path / "out/config.json").read_text())
    assert list(after) == list(before)
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"num_hidden_layers"} | ({"layer_types", "max_window_layers"} & set(before) if before.get("layer_types") else set())
    with safetensors.safe_open(tmp_path / "out/model.safetensors", "pt") as file:
        assert file.metadata() == {
            "format": "pt", "prune_sweep.variant": "mixed",
            "prune_sweep.edits": "0 drop, 1 drop-attention, 3 drop-mlp, 4-5 magnitude 50"}
        types = {file.get_tensor(name).dtype for name in file.keys()}
        assert ("lm_head.weight" in file.keys()) == (not before["tie_word_embeddings"])
    assert types == {getattr(torch, before["torch_dtype"])}


def test_a_key_of_the_job_is_an_option(job, tmp_path):
    done = export(job, "drop-03", tmp_path / "out", "--sweep.layers=3")
    assert done.returncode == 0, done.stderr
    done = export(job, "drop-00", tmp_path / "other", "--sweep.layers=3")
    assert done.returncode == 2
    assert "drop-00 (is no variant of the job) Known: baseline, drop-03" in done.stderr


def test_what_cannot_be_exported_is_refused_and_nothing_is_made(job, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("")
    (tmp_path / "file").write_text("")
    refusals = {
        ("nothing-left", "out"): "variant nothing-left (drops every layer)",
        ("drop-00", "full"): "full (is there already)",
        ("drop-00", "file"): "file (is there already)",
        ("drop-00", "no/out"): "no (is not a folder)",
    }
    for (variant, out), words in refusals.items():
        done = export(job, variant, tmp_path / out)
        assert done.returncode == 2 and words in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
    assert export(job, "drop-00", tmp_path / "out", "--sweep.depth=1").returncode == 2
    assert export(job, "drop-00", tmp_path / "out", "--fast").returncode == 2
    assert export(job, "drop-00", tmp_path / "out", tmp_path / "more").returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def test_a_disk_without_room_takes_nothing(job, tmp_path):
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 20; trap "" XFSZ; exec "$@"', "-", BIN / "prune-sweep", "export", job, "drop-00", tmp_path / "out"],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 74, done.stderr
    assert "model.safetensors" in done.stderr
    assert list(tmp_path.iterdir()) == []
