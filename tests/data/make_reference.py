#!/usr/bin/env python3
"""Makes reference.tar.xz: what lm-evaluation-harness and the tokenizers library give.

    python make_reference.py DATA OUT

DATA is the build folder's data/ with the other archives unpacked.  Written with
lm_eval 0.4.13, tokenizers 0.23.3, transformers 5.23.0 and CPython 3.11.  Nothing
is downloaded: the two data sets are read from DATA.  OUT/reference then holds

samples_<task>.jsonl  what `--log_samples` writes for a model that answers
                      with prepared numbers and texts (5 shots, 10 questions)
draws.jsonl           random.Random(seed).sample(range(n), k), three times
strip.jsonl           every code point that str.strip() removes
floats.jsonl          [value, str(value)]
utf8.jsonl            [bytes in hex, bytes.decode(errors="replace")]
extracted.jsonl       [text, by strict-match, by flexible-extract, the text as
                      exact_match compares it]
tokens.jsonl          texts with their token ids: Qwen3-0.6B's tokenizer, and
                      others made from it by changing one component each
decoded.jsonl         ids with their texts, special tokens kept and skipped
"""
import csv
import json
import math
import os
import pathlib
import random
import re
import struct
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
from lm_eval import evaluator
from lm_eval.api.model import LM
from lm_eval.filters.extraction import RegexFilter
from lm_eval.loggers import EvaluationTracker
from tokenizers import Tokenizer

SUBJECTS = ["abstract_algebra", "astronomy", "nutrition", "moral_disputes"]
QUESTIONS = 10

data = pathlib.Path(sys.argv[1])
out = pathlib.Path(sys.argv[2]) / "reference"
out.mkdir(parents=True, exist_ok=True)


def write(name, rows):
    with open(out / name, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=True) + "\n")


# ------------------------------------------------------------------ samples


def mmlu(subject):
    features = datasets.Features({
        "question": datasets.Value("string"),
        "subject": datasets.Value("string"),
        "choices": datasets.Sequence(datasets.Value("string")),
        "answer": datasets.ClassLabel(names=["A", "B", "C", "D"])})

    def rows(split):
        path = data / "mmlu" / split / f"{subject}_{split}.csv"
        with open(path, encoding="utf-8", newline="") as file:
            return [dict(question=row["question"], subject=subject,
                         choices=[row[f"choice{i}"] for i in range(4)],
                         answer=int(row["answer"])) for row in csv.DictReader(file)]

    return datasets.DatasetDict({s: datasets.Dataset.from_list(rows(s), features=features)
                                 for s in ("test", "dev")})


def gsm8k():
    def rows(split):
        with open(data / "gsm8k" / f"{split}.jsonl", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    return datasets.DatasetDict({s: datasets.Dataset.from_list(rows(s))
                                 for s in ("train", "test")})


def load_dataset(path, name=None, **_):
    return gsm8k() if path == "openai/gsm8k" else mmlu(name)


def float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


class PreparedModel(LM):
    """Answers with numbers and texts that are awkward to print."""

    def __init__(self):
        super().__init__()
        self.random = random.Random(7)
        with open(data / "vectors" / "gsm8k-scoring.jsonl", encoding="utf-8") as file:
            self.responses = {(row := json.loads(line))["doc_id"]: row["response"] for line in file}
        self.responses[2] = " \"quoted\" \\ tab\t bell\x07 del\x7f caf\u00e9 \u2028 \U0001f600\n#### -1,234.5."
        self.responses[3] = ""

    def loglikelihood(self, requests):
        special = [0.0, -0.0, -1e-5, -1.5e-7, -123456.789, -math.inf, math.nan, -1e17, -0.0001, -16.0]
        return [(float32(special[i]) if i < len(special)
                 else float32(-self.random.expovariate(0.3)), self.random.random() < 0.3)
                for i in range(len(requests))]

    def generate_until(self, requests):
        return [self.responses.get(request.doc_id, f" number {request.doc_id}") for request in requests]

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError


def samples(name, tasks, **settings):
    results = evaluator.simple_evaluate(
        model=PreparedModel(), tasks=tasks, num_fewshot=5, limit=QUESTIONS, log_samples=True,
        bootstrap_iters=0, **settings)
    tracker = EvaluationTracker(output_path=str(out / "harness"))
    tracker.general_config_tracker.model_name_sanitized = "model"
    tracker.save_results_aggregated(results=results, samples=results["samples"])
    for task, rows in results["samples"].items():
        tracker.save_results_samples(task_name=task, samples=rows)
        (path,) = (out / "harness" / "model").glob(f"samples_{task}_*.jsonl")
        path.rename(out / f"samples_{name or task}.jsonl")
    for path in (out / "harness" / "model").iterdir():
        path.unlink()
    (out / "harness" / "model").rmdir()
    (out / "harness").rmdir()


datasets.load_dataset = load_dataset
samples(None, [f"mmlu_{subject}" for subject in SUBJECTS])
samples(None, ["gsm8k"])
samples("gsm8k_48_tokens", ["gsm8k"], gen_kwargs="max_gen_toks=48")

# ------------------------------------------------------------------- Python

draws = []
for seed, n, k in [(1234, 7473, 5), (1234, 400, 2), (1234, 21, 5), (1234, 22, 5), (1234, 5, 5),
                   (1234, 84, 6), (1234, 86, 6), (1234, 85, 6), (1234, 100, 21), (1234, 278, 22),
                   (1234, 277, 22), (1234, 1, 1), (1234, 7473, 0), (0, 7473, 5), (2**32 - 1, 70000, 40)]:
    generator = random.Random(seed)
    draws.append([seed, n, k, [generator.sample(range(n), k) for _ in range(3)]])
write("draws.jsonl", draws)

write("strip.jsonl", [[c for c in range(0x110000) if not 0xd800 <= c < 0xe000 and not chr(c).strip()]])

generator = random.Random(1)
floats = [0.0, -0.0, 1.0, -1.0, 0.1, 1e15, 123456789012345.6, 1e16, 1.5e16, 9999999999999998.0, 1e-4, 1e-5,
          0.00012345, 5e-324, 1.7976931348623157e308, 1e22, 1e23, 2.0**53, 1 / 3]
floats += [float32(-generator.expovariate(0.2)) for _ in range(500)]
floats += [math.ldexp(generator.random() - 0.5, generator.randrange(-1000, 1000)) for _ in range(500)]
write("floats.jsonl", [[value.hex(), str(value)] for value in floats])

utf8 = []
parts = [b"a", b"\xc3\xa9", b"\xe2\x82\xac", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xc0\x80", b"\xe0\x80",
         b"\xf4\x90\x80\x80", b"\xf5", b"\xff", b"\x80", b"\xe2\x82", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf1", b"\x00"]
for _ in range(2000):
    text = b"".join(generator.choice(parts) if generator.random() < 0.7
                    else bytes([generator.randrange(256)]) for _ in range(generator.randrange(1, 9)))
    utf8.append([text.hex(), text.decode(errors="replace")])
write("utf8.jsonl", utf8)

# The patterns are those of lm_eval/tasks/gsm8k/gsm8k.yaml.
strict = RegexFilter(regex_pattern="#### (\\-?[0-9\\.\\,]+)", group_select=0)
flexible = RegexFilter(regex_pattern="(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1)
edges = ["", "#### ", "#### -", "#### -5", "#### --5", "##### 7", "####  7", "#### x #### 8 #### 9", "#### 1,2.3.", "#### $5",
         "#### .", "5-3", "$", "-$", "-$5", "a ... b", "5.", "7 .", "\u0661\u0662", "5.\n", "5..", "5.\n\n", "A.B.", "x\n#### 5.\n"]
parts = ["#### ", "####", "#", "-", "$", ".", ",", " ", "\n", "a", "Q", "\u0663", "1", "7", "0"]
edges += ["".join(generator.choice(parts) for _ in range(generator.randrange(1, 14))) for _ in range(3000)]
extracted = []
for text in edges:
    compared = text
    for pattern in [",", "\\$", "(?s).*#### ", "\\.$"]:
        compared = re.sub(pattern, "", compared)
    extracted.append([text, *(f.apply([[text]], [{}])[0][0] for f in (strict, flexible)), compared.lower()])
write("extracted.jsonl", extracted)

# ---------------------------------------------------------------- tokenizers

base = json.loads((data / "qwen3-0.6b" / "tokenizer.json").read_text(encoding="utf-8"))
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def sequence(*patterns):
    return {"type": "Sequence", "pretokenizers": [split(p) for p in patterns] + [dict(BYTE_LEVEL, use_regex=False)]}


def added(content, number, **keys):
    return {"id": 151643 + number, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": False, **keys}


# What is changed in Qwen3-0.6B's file; the test makes the same changes.
VARIANTS = {
    "qwen3": {},
    "gpt2": {"/pre_tokenizer": BYTE_LEVEL, "/normalizer": None},
    "llama3": {"/pre_tokenizer": sequence(LLAMA3), "/model/ignore_merges": True},
    "chain": {"/pre_tokenizer": sequence(r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", r"\s?\p{L}+|\d*")},
    "whole": {"/pre_tokenizer": dict(BYTE_LEVEL, use_regex=False)},
    "added": {"/added_tokens": [
        added("<a>", 0), added("<a>b", 1, special=True), added("caf\u00e9", 2, normalized=True),
        added("cafe\u0301s", 3, normalized=True), added("na\u00efve", 4), added("<\u00e9\uff5c>", 5)]},
}

texts = ["", "Hello world", "Answer: A", "#### 18", "I'm they'LL we'Ve 'S '\u017f 'd", "\t\n \r\n  x \n\n y   ",
         "a\u00a0b\u0085c\u180ed\u3000e\u2028f", "1234567 \u0661\u0662\u0663 \u00bd", "caf\u00e9 cafe\u0301 cafe\u0301s \u212b \ufb01",
         "na\u00efve nai\u0308ve", "<a>b<a>c<a><a>b", "x<|im_start|>user\n<think> </think><|im_end|><|im_", "<|im_<|im_start|>",
         "\u6f22\u5b57\u4eee\u540d\u3072\u3089\u30ab\u30bf", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f600!!",
         "\u0939\u093f\u0928\u094d\u0926\u0940", "\u1100\u1161\u11a8 \uac01", "\u0000\u0001\u007f", "a" * 300, " " * 300, "ab" * 150 + "\n" * 9,
         "aaaaabaaabaaaa", "  <\u00e9\uff5c>  ", "\ufeffBOM \ufffd", "((()))[]{};;==!= // \\n", "\u0130\u0131\u1e9e\u00df"]
alphabet = list("ab  \n\r\t.,'$19\u00e9\u0301e\u0085\u00a0\u180e\u4e00\u3042\U0001f600sSmtT<>\u017f") + ["<a>", "'ll", "  "]
generator = random.Random(2)
texts += ["".join(generator.choice(alphabet) for _ in range(generator.randrange(1, 40))) for _ in range(300)]

tokens, decoded = [], []
for name, changes in VARIANTS.items():
    changed = json.loads(json.dumps(base))
    for pointer, value in changes.items():
        *parents, last = pointer[1:].split("/")
        place = changed
        for key in parents:
            place = place[key]
        place[last] = value
    tokenizer = Tokenizer.from_str(json.dumps(changed))
    tokens.append([name, changes, [[text, tokenizer.encode(text, add_special_tokens=False).ids] for text in texts]])
    if name in ("qwen3", "added"):
        size = tokenizer.get_vocab_size()
        for _ in range(300):
            ids = [generator.randrange(size + 20) if generator.random() < 0.5 else generator.randrange(size - 26, size)
                   if generator.random() < 0.3 else generator.randrange(256) for _ in range(generator.randrange(1, 10))]
            decoded.append([name, ids, tokenizer.decode(ids, skip_special_tokens=False),
                            tokenizer.decode(ids, skip_special_tokens=True)])
write("tokens.jsonl", tokens)
write("decoded.jsonl", decoded)
