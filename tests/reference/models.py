"""Models made at test time, asked through the `score` command and through transformers."""

import contextlib
import importlib.util
import json
import os
import pathlib
import subprocess

import numpy
import tokenizers
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PRUNE_SWEEP_BIN", ROOT / "build/release/bin"))

spec = importlib.util.spec_from_file_location("make_checkpoint", ROOT / "tests/make_checkpoint.py")
make_checkpoint = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_checkpoint)
Shape = make_checkpoint.Shape

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def run_score(model, lines, *options, timeout=600):
    return subprocess.run(
        [BIN / "prune-sweep-evaluator", "score", model, *map(str, options)],
        input="".join(line + "\n" for line in lines), capture_output=True, text=True, timeout=timeout,
        env=ENVIRONMENT)


def score(model, requests, *options, status=0):
    """The answers of one run of the score command; a request is an object or a line as it stands."""
    lines = [request if isinstance(request, str) else json.dumps(request) for request in requests]
    done = run_score(model, lines, *options)
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def reference(path, dtype=torch.float32):
    """transformers' model; "eager" attention rounds where the engine rounds."""
    return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=dtype, attn_implementation="eager").eval()


def logprobs(model, ids):
    """Float32 log-probabilities after every token: [tokens, vocab]."""
    with torch.no_grad():
        hidden = model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0]
        logits = hidden.float() @ model.lm_head.weight.float().T
    return torch.log_softmax(logits, -1).numpy()


def greedy_ids(model, ids, max_new_tokens, eos_ids):
    """The likeliest tokens, every one computed from the whole text anew."""
    new = []
    while len(new) < max_new_tokens and not (new and new[-1] in eos_ids):
        new.append(int(logprobs(model, ids + new)[-1].argmax()))
    return new


class Identity(torch.nn.Module):
    """Stands for a decoder layer that is not there."""

    def forward(self, hidden_states, *_, **__):
        return hidden_states


@contextlib.contextmanager
def edited(model, dropped=(), percent=0):
    """The model with layers replaced by the identity and floor(percent * n / 100) smallest weights of each
    linear weight of the other layers set to zero, ties by flat index."""
    layers = model.model.layers
    kept = {name: value.clone() for name, value in model.state_dict().items()} if percent else {}
    originals = list(layers)
    for i, layer in enumerate(originals):
        if i in dropped:
            layers[i] = Identity()
            continue
        for module in layer.modules():
            if isinstance(module, torch.nn.Linear):
                flat = module.weight.data.view(-1)
                order = torch.argsort(flat.abs(), stable=True)
                flat[order[:percent * flat.numel() // 100]] = 0
    try:
        yield model
    finally:
        for i, layer in enumerate(originals):
            layers[i] = layer
        if kept:
            model.load_state_dict(kept)


def random_ids(vocab, length, seed=0):
    return numpy.random.default_rng([seed, length]).integers(0, vocab, length).tolist()


def by_id(answer, vocab):
    """The log-probabilities of an answer with the whole vocabulary: [vocab]."""
    values = numpy.full(vocab, numpy.nan)
    for token, logprob in answer["logprobs"]:
        values[token] = logprob
    return values


def write_byte_tokenizer(directory):
    """tokenizer.json with a token for every byte and no merges."""
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    vocab = {symbol: i for i, symbol in enumerate(sorted(byte_level.alphabet()))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.save(str(directory / "tokenizer.json"))
    return tokenizer
