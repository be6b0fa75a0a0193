"""The engine, through the `score` command, against transformers on random checkpoints of many shapes."""

import importlib.util
import json
import os
import pathlib
import subprocess
import tarfile

import numpy
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PRUNE_SWEEP_BIN", ROOT / "build/release/bin"))

spec = importlib.util.spec_from_file_location("make_checkpoint", ROOT / "tests/make_checkpoint.py")
make_checkpoint = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_checkpoint)
Shape = make_checkpoint.Shape

# Grouped attention of 1, 2 and 4, head_dim apart from hidden / heads, tied and untied, odd sizes.
SHAPES = {
    "plain": Shape(),
    "multi-head": Shape(layers=3, hidden=48, intermediate=80, heads=4, kv_heads=4, head_dim=12, vocab=300),
    "wide-heads": Shape(layers=2, hidden=40, intermediate=72, heads=8, kv_heads=2, head_dim=32, vocab=257, tied=True),
    "one-kv-head": Shape(layers=3, hidden=64, intermediate=50, heads=4, kv_heads=1, head_dim=6, vocab=301),
    "demo": Shape(layers=4, hidden=96, intermediate=192, heads=4, kv_heads=2, head_dim=32, vocab=736, tied=True,
                  rope_theta=1e4),
    "stored-tied-head": Shape(layers=2, vocab=500, tied=True, stored_tied_head=True, norm_eps=1e-5),
}
LENGTHS = [1, 2, 15, 16, 17, 100, 128, 129, 300]


def score(model, requests, *options, status=0):
    """The answers of one run of the score command."""
    lines = [request if isinstance(request, str) else json.dumps(request) for request in requests]
    done = subprocess.run(
        [BIN / "prune-sweep-evaluator", "score", model, *map(str, options)],
        input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=600,
    )
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def reference(path, dtype=torch.float32, attention="eager"):
    return transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=dtype, attn_implementation=attention).eval()


def logprobs(model, ids):
    """Float32 log-probabilities after every token: [tokens, vocab]."""
    with torch.no_grad():
        hidden = model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0]
        logits = hidden.float() @ model.lm_head.weight.float().T
    return torch.log_softmax(logits, -1).numpy()


def drop_layers(model, dropped):
    model.model.layers = torch.nn.ModuleList(
        layer for i, layer in enumerate(model.model.layers) if i not in dropped)
    for i, layer in enumerate(model.model.layers):
        layer.self_attn.layer_idx = i
    model.config.num_hidden_layers = len(model.model.layers)
    return model


def prune(model, percent, layers):
    """floor(percent * n / 100) smallest of each linear weight of the layers, ties by flat index."""
    for i in layers:
        for module in model.model.layers[i].modules():
            if isinstance(module, torch.nn.Linear):
                flat = module.weight.data.view(-1)
                order = torch.argsort(flat.abs(), stable=True)
                flat[order[:percent * flat.numel() // 100]] = 0
    return model


def random_ids(shape, length, seed=0):
    return numpy.random.default_rng([seed, length]).integers(0, shape.vocab, length).tolist()


def largest_difference(model, path, shape, *options):
    """Over prompts of many lengths and all of the vocabulary."""
    prompts = [random_ids(shape, length) for length in LENGTHS]
    answers = score(path, [{"ids": ids, "top": shape.vocab} for ids in prompts], *options)
    largest = 0
    for ids, answer in zip(prompts, answers):
        ours = numpy.full(shape.vocab, numpy.nan)
        for token, logprob in answer["logprobs"]:
            ours[token] = logprob
        largest = max(largest, numpy.abs(ours - logprobs(model, ids)[-1]).max())
    return largest


@pytest.fixture(scope="module", params=SHAPES)
def case(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    shape = SHAPES[request.param]
    make_checkpoint.write_checkpoint(path, shape, "bfloat16", shards=2 if shape.layers == 3 else 1, seed=3)
    return path, shape


def test_float32_logprobs_agree(case):
    path, shape = case
    assert largest_difference(reference(path), path, shape, "--dtype", "float32") < 1e-4


@pytest.mark.parametrize("dropped", [[0], [1], [0, 1]])
def test_dropped_layers_are_as_if_never_there(case, dropped):
    path, shape = case
    model = drop_layers(reference(path), dropped)
    options = ["--dtype", "float32", "--drop", ",".join(map(str, dropped))]
    assert largest_difference(model, path, shape, *options) < 1e-4


@pytest.mark.parametrize("percent", [0, 7, 50, 95])
def test_magnitude_pruned_weights_are_the_smallest(case, percent):
    path, shape = case
    model = prune(reference(path), percent, range(shape.layers))
    options = ["--dtype", "float32", "--magnitude", percent]
    assert largest_difference(model, path, shape, *options) < 1e-4


def test_a_dropped_layer_leaves_the_pruning_of_the_others(case):
    path, shape = case
    model = drop_layers(prune(reference(path), 30, range(1, shape.layers)), [0])
    options = ["--dtype", "float32", "--drop", 0, "--magnitude", 30]
    assert largest_difference(model, path, shape, *options) < 1e-4


@pytest.mark.parametrize("stored", ["float32", "float16"])
def test_checkpoints_of_other_types_agree(tmp_path, stored):
    shape = SHAPES["wide-heads"]
    make_checkpoint.write_checkpoint(tmp_path, shape, stored, seed=4)
    model = reference(tmp_path)
    assert largest_difference(model, tmp_path, shape, "--dtype", "float32") < 1e-4
    prune(model, 40, range(shape.layers))
    assert largest_difference(model, tmp_path, shape, "--dtype", "float32", "--magnitude", 40) < 1e-4


def test_bfloat16_is_as_far_from_float32_as_transformers_is(case):
    """Rounded at the same places, so the same error; the exact values differ with the order of sums."""
    path, shape = case
    exact = reference(path)
    rounded = reference(path, torch.bfloat16)
    prompts = [random_ids(shape, length, seed=1) for length in [20, 60, 129, 200]]
    answers = score(path, [{"ids": ids, "top": shape.vocab} for ids in prompts], "--dtype", "bfloat16")
    ours, theirs, apart = [], [], []
    for ids, answer in zip(prompts, answers):
        truth = logprobs(exact, ids)[-1]
        mine = numpy.empty(shape.vocab)
        for token, logprob in answer["logprobs"]:
            mine[token] = logprob
        other = logprobs(rounded, ids)[-1]
        ours.append(numpy.square(mine - truth).mean())
        theirs.append(numpy.square(other - truth).mean())
        apart.append(numpy.square(mine - other).mean())
    rms_ours, rms_theirs = numpy.sqrt(numpy.mean(ours)), numpy.sqrt(numpy.mean(theirs))
    print(f"rms error: {rms_ours:.2g}, transformers {rms_theirs:.2g}, apart {numpy.sqrt(numpy.mean(apart)):.2g}")
    assert rms_ours < 1.3 * rms_theirs
    assert rms_theirs < 0.1


# ------------------------------------------------------------------------------- text, with a real tokenizer


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    """A small model that speaks through the tokenizer of Qwen3-0.6B, and transformers' view of both."""
    files = tmp_path_factory.mktemp("tokenizer")
    with tarfile.open(ROOT / "tests/data/qwen3-0.6b.tar.xz") as archive:
        archive.extractall(files)
    path = tmp_path_factory.mktemp("qwen")
    shape = Shape(layers=3, hidden=32, intermediate=48, heads=4, kv_heads=2, head_dim=8, vocab=151936, tied=True)
    make_checkpoint.write_checkpoint(path, shape, "bfloat16", seed=5, tokenizer=files / "qwen3-0.6b")
    tokenizer = transformers.AutoTokenizer.from_pretrained(files / "qwen3-0.6b")
    return path, reference(path), tokenizer


PAIRS = [
    ("The capital of France is", " Paris"),
    ("The capital of France is ", "Paris"),
    ("Two words and a tab\t", "then more"),
    ("Question: 1 + 1 =\nAnswer:", " 2, of course. Über 12345 naïve façades"),
    ("merged across the bound", "ary, and on"),
    ("", " A"),
    ("", "No context at all"),
    ("x", "\n\n"),
    ("trailing lines\n\n", "go on"),
    ("日本語の", "テキスト"),
    ("word " * 150, "again"),
]


def expected_pair(model, tokenizer, context, continuation):
    """lm-evaluation-harness, api/model.py: TemplateLM._encode_pair and loglikelihood."""
    spaces = len(context) - len(context.rstrip())
    if spaces:
        continuation = context[-spaces:] + continuation
        context = context[:-spaces]
    context_ids = tokenizer(context).input_ids if context else []
    ids = tokenizer(context + continuation).input_ids[len(context_ids):]
    context_ids = context_ids or [tokenizer.eos_token_id]
    rows = logprobs(model, (context_ids + ids)[:-1])[len(context_ids) - 1:]
    total = sum(row[token] for row, token in zip(rows, ids))
    return total, all(row.argmax() == token for row, token in zip(rows, ids)), len(ids)


def test_log_likelihoods_of_texts_agree(qwen):
    path, model, tokenizer = qwen
    requests = [{"context": context, "continuation": continuation} for context, continuation in PAIRS]
    answers = score(path, requests, "--dtype", "float32")
    for (context, continuation), answer in zip(PAIRS, answers):
        loglik, greedy, tokens = expected_pair(model, tokenizer, context, continuation)
        assert answer["tokens"] == tokens, (context, continuation)
        assert abs(answer["loglik"] - loglik) < 1e-4 * tokens, (context, continuation)
        assert answer["greedy"] == greedy


def test_the_greedy_continuation_is_said_to_be_greedy(qwen):
    path, model, tokenizer = qwen
    context = "Once upon a time"
    best = int(logprobs(model, tokenizer(context).input_ids)[-1].argmax())
    made = score(path, [{"prompt": context, "max_new_tokens": 1, "until": []}], "--dtype", "float32")[0]
    assert made["ids"] == [best]


def test_greedy_texts_agree(qwen):
    path, model, tokenizer = qwen
    prompts = ["Question: What?\nAnswer:", "a", "def f(x):\n    return", "word " * 140, "日本語"]
    answers = score(
        path, [{"prompt": prompt, "max_new_tokens": 24, "until": []} for prompt in prompts], "--dtype", "float32")
    for prompt, answer in zip(prompts, answers):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            whole = model.generate(
                ids, do_sample=False, max_new_tokens=24, temperature=None, top_k=None, top_p=None,
                eos_token_id=[151645, 151643], pad_token_id=151643, attention_mask=torch.ones_like(ids))
        new = whole[0, ids.shape[1]:].tolist()
        assert answer["ids"] == new
        assert answer["text"] == tokenizer.decode(new, skip_special_tokens=True)
        assert answer["stop"] == ("eos" if new[-1] in (151645, 151643) else "length")


def test_a_stop_string_cuts_the_text(qwen):
    path, _, _ = qwen
    request = {"prompt": "Question: What?\nAnswer:", "max_new_tokens": 24, "until": []}
    free = score(path, [request], "--dtype", "float32")[0]
    stop = free["text"][5:8]
    cut = score(path, [{**request, "until": ["nowhere to be found", stop]}], "--dtype", "float32")[0]
    assert cut["stop"] == "until"
    assert cut["text"] == free["text"][:free["text"].index(stop)]
    assert cut["ids"] == free["ids"][:len(cut["ids"])]


def test_a_line_that_is_no_request_is_answered_with_its_number(qwen):
    path, _, _ = qwen
    good = {"context": "a", "continuation": " b"}
    bad = [
        "{", "[]", "7", "", '{"context": "a"}', '{"context": 1, "continuation": "b"}', '{"ids": [1, 2]}',
        '{"ids": [], "top": 1}', '{"ids": [151936], "top": 1}', '{"ids": [-1], "top": 1}',
        '{"ids": [4294967297], "top": 1}', '{"ids": [1.5], "top": 1}', '{"ids": "abc", "top": 1}',
        '{"ids": [1], "top": "x"}', '{"prompt": "a", "until": 3}', '{"prompt": "", "max_new_tokens": 3}',
        '{"prompt": "a", "max_new_tokens": 1e10}', '{"prompt": "a", "max_new_tokens": 100000}', '{"other": 1}',
        '{"context": "a", "continuation": ""}', "\x00", "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
    ]
    requests = [good]
    for line in bad:
        requests += [line, good]
    answers = score(path, requests, status=2)
    assert len(answers) == len(requests)
    for number, answer in enumerate(answers, 1):
        if number % 2 == 0:
            assert answer["error"].startswith(f"line {number}: "), requests[number - 1]
        else:
            assert answer == answers[0] and "loglik" in answer


@pytest.mark.parametrize("options, named", [
    (["--dtype", "int8"], "--dtype"),
    (["--device", "tpu"], "--device"),
    (["--drop", "3"], "--drop"),
    (["--drop", "x"], "--drop"),
    (["--magnitude", "101"], "--magnitude"),
    (["--unknown", "1"], "unknown"),
    (["another"], "score"),
])
def test_wrong_options_are_refused_before_anything_is_read(qwen, options, named):
    done = subprocess.run(
        [BIN / "prune-sweep-evaluator", "score", qwen[0], *options],
        input="", capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
