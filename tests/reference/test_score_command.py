"""The `score` command on texts, with the tokenizer of Qwen3-0.6B and one like Llama 3's, against transformers; and what
it refuses."""

import subprocess
import tarfile

import pytest
import torch
import transformers

from models import BIN, ROOT, Shape, logprobs, make_checkpoint, reference, score
from tokenizer_files import FILES, make


def speaker(path, tokenizer_dir, **shape):
    """A small model that speaks through a tokenizer, and transformers' view of both."""
    shape = Shape(layers=3, hidden=32, intermediate=48, heads=4, kv_heads=2, head_dim=8, tied=True, **shape)
    make_checkpoint.write_checkpoint(path, shape, "bfloat16", seed=5, tokenizer=tokenizer_dir)
    return path, reference(path), transformers.AutoTokenizer.from_pretrained(tokenizer_dir)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    files = tmp_path_factory.mktemp("tokenizer")
    with tarfile.open(ROOT / "tests/data/qwen3-0.6b.tar.xz") as archive:
        archive.extractall(files)
    return speaker(tmp_path_factory.mktemp("qwen"), files / "qwen3-0.6b", vocab=151936)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """Its tokenizer puts a token in front of every text."""
    files = tmp_path_factory.mktemp("tokenizer")
    tokenizer = make(FILES["llama-3"], [context for context, _ in PAIRS], vocab_size=400)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>").save_pretrained(files)
    return speaker(tmp_path_factory.mktemp("llama"), files, vocab=512, architecture="LlamaForCausalLM")


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
    if context:
        context_ids = tokenizer(context).input_ids
        ids = tokenizer(context + continuation).input_ids[len(context_ids):]
    else:
        prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        context_ids, ids = [prefix], tokenizer(continuation, add_special_tokens=False).input_ids
    rows = logprobs(model, (context_ids + ids)[:-1])[len(context_ids) - 1:]
    total = sum(row[token] for row, token in zip(rows, ids))
    return total, all(row.argmax() == token for row, token in zip(rows, ids)), len(ids)


@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_log_likelihoods_of_texts_agree(family, request):
    path, model, tokenizer = request.getfixturevalue(family)
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


@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_greedy_texts_agree(family, request):
    path, model, tokenizer = request.getfixturevalue(family)
    eos_ids = make_checkpoint.eos_ids(model.config.vocab_size)
    prompts = ["Question: What?\nAnswer:", "a", "def f(x):\n    return", "word " * 140, "日本語"]
    answers = score(
        path, [{"prompt": prompt, "max_new_tokens": 24, "until": []} for prompt in prompts], "--dtype", "float32")
    for prompt, answer in zip(prompts, answers):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            whole = model.generate(
                ids, do_sample=False, max_new_tokens=24, temperature=None, top_k=None, top_p=None,
                eos_token_id=eos_ids, pad_token_id=eos_ids[-1], attention_mask=torch.ones_like(ids))
        new = whole[0, ids.shape[1]:].tolist()
        assert answer["ids"] == new
        assert answer["text"] == tokenizer.decode(new, skip_special_tokens=True)
        assert answer["stop"] == ("eos" if new[-1] in eos_ids else "length")


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
